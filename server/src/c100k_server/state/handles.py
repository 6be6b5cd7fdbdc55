"""Handles: what an app keeps for clients that have no session, as those of 2026-07-28.

A handle is an id that is not to be guessed, which the client brings along as an argument. Any node serves any handle.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from c100k_server.errors import ToolError
from c100k_server.redis import Script
from c100k_server.redis.errors import CommandError, StateUnavailableError
from c100k_server.resumption import as_request_error
from c100k_server.state.ids import is_session_id
from c100k_server.task_store import Owner

if TYPE_CHECKING:
    from c100k_server.redis.cluster import Cluster

VALUE_MAX_BYTES = 64 * 1024
LIFETIME_S = 3600.0

# A handle is a hash: `p` the principal whose it is, `v` its version, `d` the value as JSON.
# KEYS: handle. ARGV: principal, lifetime in ms, version before, value. Returns the version by now, or a negative one
# when it was another, or nothing.
WRITE = Script(
    "write handle",
    """
    local stored = redis.call('HMGET', KEYS[1], 'p', 'v', 'd')
    local before = tonumber(ARGV[3])
    if before > 0 and (not stored[1] or stored[1] ~= ARGV[1]) then return nil end
    if stored[2] and tonumber(stored[2]) == before + 1 and stored[3] == ARGV[4] then
      redis.call('PEXPIRE', KEYS[1], ARGV[2])
      return before + 1
    end
    if stored[2] and tonumber(stored[2]) ~= before then return -tonumber(stored[2]) end
    redis.call('HSET', KEYS[1], 'p', ARGV[1], 'v', before + 1, 'd', ARGV[4])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return before + 1
    """,
)


class Handle(msgspec.Struct):
    """What was found under an id, and its version, which each update raises by one."""

    id: str
    version: int
    value: Any


class HandleConflictError(ToolError):
    """Somebody has updated the handle since it was opened."""


class Handles:
    """The handles of one client: of a session, of a bearer token, or of whoever knows the id."""

    def __init__(self, redis: Cluster | None, client: Owner) -> None:
        self._redis = redis
        # An address is nobody: the next request may come from another.
        self._principal = "" if client.kind == "address" else f"{client.kind}:{client.name}"

    async def mint(self, value: Any, *, lifetime_s: float = LIFETIME_S) -> Handle:
        """Keep a JSON value under a new id, on two hosts before this returns."""
        handle_id = secrets.token_hex(16)
        version = await self._write(handle_id, 0, value, lifetime_s)
        return Handle(handle_id, version, value)

    async def open(self, handle_id: str) -> Handle:
        """Raises `ToolError` when there is no such handle of this client (any more)."""
        if not is_session_id(handle_id):
            raise _unknown(handle_id)
        key = handle_key(handle_id)
        principal, version, value = await self._done(lambda redis: redis.execute(key, "HMGET", key, "p", "v", "d"))
        if principal is None or principal.decode() != self._principal:
            raise _unknown(handle_id)
        return Handle(handle_id, int(version), msgspec.json.decode(value))

    async def update(self, handle: Handle, value: Any, *, lifetime_s: float = LIFETIME_S) -> Handle:
        """Replace the value. Raises `HandleConflictError` when it is no longer the one that was opened."""
        version = await self._write(handle.id, handle.version, value, lifetime_s)
        return Handle(handle.id, version, value)

    async def close(self, handle: Handle) -> None:
        """Forget it, whatever it is by now."""
        key = handle_key(handle.id)
        await self._done(lambda redis: redis.execute(key, "DEL", key, durable=True))

    async def _write(self, handle_id: str, before: int, value: Any, lifetime_s: float) -> int:
        encoded = msgspec.json.encode(value)
        if len(encoded) > VALUE_MAX_BYTES:
            raise ToolError(f"a handle may keep {VALUE_MAX_BYTES} bytes as JSON, not {len(encoded)}")
        args = (self._principal, int(lifetime_s * 1000), before, encoded)
        keys = (handle_key(handle_id),)
        version = await self._done(lambda redis: redis.script(WRITE, keys, args, durable=True))
        if version is None:
            raise _unknown(handle_id)
        if version < 0:
            raise HandleConflictError(f"the handle has version {-version} by now, not {before}")
        return int(version)

    async def _done(self, operation: Callable[[Cluster], asyncio.Future[Any]]) -> Any:
        if self._redis is None:
            raise ToolError("handles need a server with --state redis")
        try:
            return await operation(self._redis)
        except (StateUnavailableError, CommandError) as error:
            raise as_request_error(error) from None


def handle_key(handle_id: str) -> str:
    return f"c100k:h:{{{handle_id}}}"


def _unknown(handle_id: str) -> ToolError:
    return ToolError(f"there is no handle {handle_id!r} (any more)")

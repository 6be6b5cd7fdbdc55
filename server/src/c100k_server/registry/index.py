"""All names in their order, for lists by prefix: sorted sets, each with a share of the names, on all masters."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

from c100k_server.redis.slots import even_keys
from c100k_server.registry.entry import Page
from c100k_server.registry.scripts import PREFIX

if TYPE_CHECKING:
    from c100k_server.redis.cluster import Cluster

SHARES = 16
# How many names of one share are checked at a time, and how often.
SWEEP_NAMES = 25
SWEEP_S = 1.0

_KEYS = even_keys("c100k:names:", SHARES)


class NameIndex:
    """May have names whose lease has ended; these are dropped when they are met. `sweep` must be called now and
    then, so that they are met."""

    def __init__(self, redis: Cluster) -> None:
        self._redis = redis
        self._unsent: dict[str, bool] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._swept: dict[str, str] = {}

    def add(self, name: str) -> None:
        """What cannot be done now is done by `flush`."""
        self._set(name, present=True)

    def remove(self, name: str) -> None:
        self._set(name, present=False)

    def flush(self) -> None:
        """Do what could not be done."""
        if self._unsent and self._redis.healthy:
            unsent, self._unsent = self._unsent, {}
            for name, present in unsent.items():
                self._set(name, present=present)

    async def page(self, prefix: str, after: str | None, limit: int) -> Page:
        """Names that begin with `prefix`, after one. Raises `StateUnavailableError`."""
        shares = await asyncio.gather(*(self._range(key, prefix, after, limit + 1) for key in _KEYS))
        names = sorted(name for share in shares for name in share)
        shown = names[:limit]
        more = len(names) > limit
        return Page(await self._living(shown), shown[-1].decode() if more else None)

    def sweep(self) -> None:
        """Check some names of a share."""
        if self._sweeping is None or self._sweeping.done():
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep(random.choice(_KEYS)))
            self._sweeping.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _sweep(self, key: str) -> None:
        names = await self._range(key, "", self._swept.get(key), SWEEP_NAMES)
        await self._living(names)
        if len(names) == SWEEP_NAMES:
            self._swept[key] = names[-1].decode()
        else:
            self._swept.pop(key, None)

    def _set(self, name: str, *, present: bool) -> None:
        key = _key(name.encode())
        command = ("ZADD", key, 0, name) if present else ("ZREM", key, name)
        done = self._redis.execute(key, *command, durable=True)
        done.add_done_callback(lambda outcome: self._done(name, outcome, present=present))

    def _done(self, name: str, outcome: asyncio.Future[Any], *, present: bool) -> None:
        if not outcome.cancelled() and outcome.exception() is not None:
            self._unsent[name] = present

    async def _range(self, key: str, prefix: str, after: str | None, count: int) -> Sequence[bytes]:
        first = "[" + prefix if after is None or after < prefix else "(" + after
        # No UTF-8 has this byte, so all that begins with the prefix comes before it.
        last = b"[" + prefix.encode() + b"\xff"
        found: Sequence[bytes] = await self._redis.execute(key, "ZRANGEBYLEX", key, first, last, "LIMIT", 0, count)
        return found

    async def _living(self, names: Sequence[bytes]) -> list[str]:
        """Those that somebody has. The others are dropped."""
        keys = [PREFIX + name.decode() for name in names]
        living = await asyncio.gather(*(self._redis.execute(key, "EXISTS", key) for key in keys))
        await asyncio.gather(*(self._drop(name) for name, lives in zip(names, living, strict=True) if not lives))
        return [name.decode() for name, lives in zip(names, living, strict=True) if lives]

    async def _drop(self, name: bytes) -> None:
        key = _key(name)
        await self._redis.execute(key, "ZREM", key, name)
        # Whoever registered it meanwhile may have been in the index just before.
        record = PREFIX + name.decode()
        if await self._redis.execute(record, "EXISTS", record):
            await self._redis.execute(key, "ZADD", key, 0, name)


def _key(name: bytes) -> str:
    return _KEYS[crc32(name) % SHARES]

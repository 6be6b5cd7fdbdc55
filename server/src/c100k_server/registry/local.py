"""The registry of one worker, without Redis: names end with their session, and nothing is kept for those away.

Each worker has its own. For names that all workers of a node know, there must be one worker, or Redis.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from c100k_server.errors import RegistryError
from c100k_server.jsonrpc import BUSY, INVALID_REQUEST, encode
from c100k_server.registry.entry import ALIASES_MAX, NAMES_MAX, Found, Page, Record, name_taken, no_such_name
from c100k_server.registry.sources import OWN, LookupTimes
from c100k_server.statistics import (
    REGISTRY_BROADCAST,
    REGISTRY_NAMES,
    REGISTRY_REGISTERED,
    REGISTRY_ROUTED,
    SENT,
)
from c100k_server.subscriptions import BROADCAST, Subscriptions

if TYPE_CHECKING:
    from c100k_server.outlet import StandingOutlet
    from c100k_server.request import Request
    from c100k_server.session import Session

# There is one node, and it has no name.
NODE = "local"


class LocalRegistry:
    """A `Registry`."""

    def __init__(self, subscriptions: Subscriptions, figures: memoryview) -> None:
        self._subscriptions = subscriptions
        self._figures = figures
        self._names: dict[str, tuple[Session, StandingOutlet, Record]] = {}
        self._names_of: dict[Session, set[str]] = {}
        self._times = LookupTimes()

    async def register(self, request: Request, name: str, record: Record) -> str:
        session = _session(request)
        if name in self._names and self._names[name][0] is not session:
            raise name_taken(name)
        names = self._names_of.setdefault(session, set())
        if name not in names and len(names) >= NAMES_MAX:
            raise too_many_names()
        names.add(name)
        self._names[name] = (session, request.outlet.standing, record)
        self._figures[REGISTRY_REGISTERED] += 1
        return NODE

    async def unregister(self, request: Request, name: str) -> None:
        session = _session(request)
        if name in self._names:
            if self._names[name][0] is not session:
                raise name_taken(name)
            del self._names[name]
            self._names_of[session].discard(name)

    def find(self, name: str) -> Found | None:
        started_ns = time.monotonic_ns()
        found = self._resolve(name)
        self._times.observe(OWN, started_ns)
        if found is None:
            return None
        last, (_, _, record) = found
        return Found(name, NODE, record.value, last if last != name else None)

    async def page(self, prefix: str, after: str | None, limit: int) -> Page:
        names = sorted(name for name in self._names if name.startswith(prefix) and (after is None or name > after))
        return Page(names[:limit], names[limit - 1] if len(names) > limit else None)

    async def route(self, name: str, message: bytes) -> None:
        found = self._resolve(name)
        if found is None:
            raise no_such_name(name)
        last, (_, outlet, _) = found
        if not outlet.send(message_line(last, message) + b"\n"):
            raise RegistryError(BUSY, f"the client of {name!r} does not listen, and nothing is kept for it here")
        self._figures[SENT] += 1
        self._figures[REGISTRY_ROUTED] += 1

    async def broadcast(self, message: bytes) -> None:
        self._subscriptions.publish(broadcast_topic(message))
        self._figures[REGISTRY_BROADCAST] += 1

    def leave(self, session: Session) -> None:
        for name in self._names_of.pop(session, ()):
            del self._names[name]

    def publish(self, figures: memoryview) -> None:
        figures[REGISTRY_NAMES] = len(self._names)
        self._times.publish(figures)

    def _resolve(self, name: str) -> tuple[str, tuple[Session, StandingOutlet, Record]] | None:
        for _ in range(ALIASES_MAX + 1):
            entry = self._names.get(name)
            if entry is None:
                return None
            target = entry[2].target
            if target is None:
                return name, entry
            name = target
        return None


def message_line(name: str, message: bytes) -> bytes:
    """The notification of a message that was sent to a name, without a newline."""
    head = b'{"jsonrpc":"2.0","method":"notifications/c100k/message","params":{"name":'
    return b'%b%b,"message":%b}}' % (head, encode(name), message)


def broadcast_topic(message: bytes) -> str:
    """The topic of a message to all, which is like no other."""
    return f"{BROADCAST}{secrets.token_hex(8)}:{message.decode()}"


def too_many_names() -> RegistryError:
    return RegistryError(BUSY, f"a session may have {NAMES_MAX} names")


def _session(request: Request) -> Session:
    if request.session is None:
        raise RegistryError(INVALID_REQUEST, "names belong to sessions, which 2026-07-28 does not have")
    return request.session

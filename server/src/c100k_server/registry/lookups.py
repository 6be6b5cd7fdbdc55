"""Look-ups of names: in this worker's own sessions, in what it remembers, and in Redis.

Redis tells of every change to a name that was read over a connection (`CLIENT TRACKING`), so what is remembered is
right for as long as that connection is. When it is lost, all is forgotten.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from c100k_server.redis.slots import even_keys
from c100k_server.registry.cache import LookupCache
from c100k_server.registry.entry import Entry, decode_record
from c100k_server.registry.scripts import PREFIX
from c100k_server.registry.sources import CACHE, OWN, REDIS

if TYPE_CHECKING:
    from c100k_server.config import Address
    from c100k_server.redis.cluster import Cluster
    from c100k_server.state.store import SessionStore

# How connections for look-ups begin: https://redis.io/docs/latest/develop/reference/client-side-caching/.
TRACKING = (("CLIENT", "TRACKING", "ON"),)

PROBE_S = 1.0

_KEY_PREFIX = PREFIX.encode()
_PROBES = even_keys("c100k:probe:", 16)


class _Lookup:
    """One on its way, and who waits for it. What was told to have changed since it was sent is not remembered."""

    __slots__ = ("changed", "waiting")

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Entry | None]] = []
        self.changed = False


class Lookups:
    """`redis` is a client of its own, which begins with `TRACKING`. What this worker knows is good as long as its node
    is one of the cluster."""

    def __init__(self, redis: Cluster, store: SessionStore, node: str) -> None:
        self.cache = LookupCache()
        self.invalidations = 0
        self._redis = redis
        self._store = store
        self._node = node
        self._loop = asyncio.get_running_loop()
        self._under_way: dict[str, _Lookup] = {}
        self._probe_at = 0.0
        redis.on_push = self._pushed
        redis.on_lost = self._lost

    def known(self, name: str) -> tuple[int, Entry | None] | None:
        """What this worker knows of a name, and by which source."""
        if not self._store.is_member():
            return None
        owner = self._store.names.get(name)
        if owner is not None:
            return OWN, Entry(owner.id, self._node, decode_record(owner.names[name]))
        return (CACHE, self.cache[name]) if name in self.cache else None

    def send(self, name: str) -> _Lookup:
        """Ask Redis for a name, unless that is under way: all who ask for it at a time share one look-up."""
        lookup = self._under_way.get(name)
        if lookup is None:
            lookup = self._under_way[name] = _Lookup()
            key = PREFIX + name
            asked = self._redis.execute(key, "HMGET", key, "s", "n", "r")
            asked.add_done_callback(partial(self._answered, name, lookup))
        return lookup

    async def ask(self, name: str) -> tuple[int, Entry | None]:
        """What Redis knows. Raises `StateUnavailableError`."""
        answer: asyncio.Future[Entry | None] = self._loop.create_future()
        self.send(name).waiting.append(answer)
        return REDIS, await answer

    def forget(self, name: str) -> None:
        """It changes, or turned out to be wrong."""
        self.cache.discard(name)
        lookup = self._under_way.get(name)
        if lookup is not None:
            lookup.changed = True

    def beat(self) -> None:
        """Make sure that the masters are there: one that has died in silence tells of no change."""
        if self._loop.time() >= self._probe_at:
            self._probe_at = self._loop.time() + PROBE_S
            for key in _PROBES:
                self._redis.execute(key, "PING", timeout_s=PROBE_S).add_done_callback(_ignore)

    def flush(self) -> None:
        """Forget all."""
        self.cache.clear()
        for lookup in self._under_way.values():
            lookup.changed = True

    def _answered(self, name: str, lookup: _Lookup, asked: asyncio.Future[Any]) -> None:
        del self._under_way[name]
        error = None if asked.cancelled() else asked.exception()
        # Whoever asked may be gone.
        waiting = [answer for answer in lookup.waiting if not answer.done()]
        if error is not None:
            for answer in waiting:
                answer.set_exception(error)
            return
        session_id, node, record = asked.result()
        entry = None if record is None else Entry(session_id.decode(), node.decode(), decode_record(record))
        if not lookup.changed:
            self.cache[name] = entry
        for answer in waiting:
            answer.set_result(entry)

    def _pushed(self, message: list[Any]) -> None:
        if message[0] != b"invalidate":
            return
        if message[1] is None:
            self.flush()
            return
        for key in message[1]:
            self.invalidations += 1
            self.forget(key.removeprefix(_KEY_PREFIX).decode())

    def _lost(self, address: Address) -> None:
        self.flush()


def _ignore(probed: asyncio.Future[Any]) -> None:
    """Whoever waits for a reply in vain closes the connection."""
    if not probed.cancelled():
        probed.exception()

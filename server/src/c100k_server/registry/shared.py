"""The registry of a cluster: names in Redis, each had by one session at most, whoever asks where."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from c100k_server.errors import RegistryError
from c100k_server.jsonrpc import INVALID_REQUEST
from c100k_server.redis import StateUnavailableError
from c100k_server.registry.entry import (
    ALIASES_MAX,
    NAMES_MAX,
    Entry,
    Found,
    Page,
    Record,
    encode_record,
    name_taken,
    no_such_name,
)
from c100k_server.registry.index import SWEEP_S, NameIndex
from c100k_server.registry.local import broadcast_topic, message_line, too_many_names
from c100k_server.registry.lookups import Lookups
from c100k_server.registry.mail import Mail
from c100k_server.registry.scripts import GONE, PREFIX, REGISTER, RENEW, TAKEN, UNREGISTER
from c100k_server.registry.sources import OWN, LookupTimes
from c100k_server.resumption import as_request_error
from c100k_server.statistics import (
    REGISTRY_BROADCAST,
    REGISTRY_CACHED,
    REGISTRY_INVALIDATED,
    REGISTRY_NAMES,
    REGISTRY_REGISTERED,
    REGISTRY_ROUTED,
)

if TYPE_CHECKING:
    from c100k_server.request import Request
    from c100k_server.service import Service
    from c100k_server.session import Session
    from c100k_server.state.store import SessionStore
    from c100k_server.state.stored_session import StoredSession

# How often it is tried to say where a name is by now, when that failed.
ANNOUNCE_AGAIN_S = 1.0


class SharedRegistry:
    """A `Registry`, and the `NameKeeper` of its store. `beat` must be called a few times per second."""

    def __init__(self, service: Service, store: SessionStore, node: str, lookups: Lookups, mail: Mail) -> None:
        self._service = service
        self._store = store
        self._node = node
        self._redis = store.redis
        self._lookups = lookups
        self._mail = mail
        self._index = NameIndex(store.redis)
        self._times = LookupTimes()
        # Names whose changes are on their way, and how many of each.
        self._changing: Counter[str] = Counter()
        self._sweep_at = 0.0
        # Names of sessions that came here, and Redis could not be told so yet.
        self._unannounced: dict[str, StoredSession] = {}
        self._announce_at = 0.0
        store.names_of = self

    async def register(self, request: Request, name: str, record: Record) -> str:
        session = _stored(request)
        if name not in session.names and len(session.names) >= NAMES_MAX:
            raise too_many_names()
        encoded = encode_record(record)
        with self._change(name):
            reply = await self._register(session, name, encoded, durable=True)
        if reply == TAKEN:
            raise name_taken(name)
        # Kept with the session before the answer.
        session.set_name(name, encoded)
        if self._store.held.get(session.id) is session:
            self._store.names[name] = session
        self._lookups.forget(name)
        self._index.add(name)
        self._service.figures[REGISTRY_REGISTERED] += 1
        return self._node

    async def unregister(self, request: Request, name: str) -> None:
        session = _stored(request)
        with self._change(name):
            reply = await self._redis.script(UNREGISTER, [PREFIX + name], (session.id,), durable=True)
        if reply == TAKEN:
            raise name_taken(name)
        self._drop(session, name)
        self._index.remove(name)

    def find(self, name: str) -> Found | Coroutine[Any, Any, Found | None] | None:
        started_ns = time.monotonic_ns()
        known = self._resolve_here(name)
        if known is None:
            if self._lookups.known(name) is None:
                # What asks begins in the next turn of the loop; Redis need not wait for that.
                self._lookups.send(name)
            return self._find(name, started_ns)
        self._times.observe(known[0], started_ns)
        return _found(name, known[1], known[2])

    async def page(self, prefix: str, after: str | None, limit: int) -> Page:
        with _state_needed():
            return await self._index.page(prefix, after, limit)

    async def route(self, name: str, message: bytes) -> None:
        with _state_needed():
            for _ in range(2):
                _, last, entry = self._resolve_here(name) or await self._resolve(name)
                if entry is None:
                    break
                posted = await self._store.post(entry.session_id, last, message_line(last, message))
                if posted is not None:
                    self._mail.hint(posted[1].decode(), entry.session_id)
                    self._service.figures[REGISTRY_ROUTED] += 1
                    return
                # What this worker knew was wrong, or the session has ended and its lease has not.
                self._lookups.forget(name)
                self._lookups.forget(last)
        raise no_such_name(name)

    async def broadcast(self, message: bytes) -> None:
        events = self._service.events
        assert events is not None
        with _state_needed():
            await events.send(broadcast_topic(message))
        self._service.figures[REGISTRY_BROADCAST] += 1

    def leave(self, session: Session) -> None:
        """Names of a session that is stored are there when it comes back."""

    def publish(self, figures: memoryview) -> None:
        figures[REGISTRY_NAMES] = len(self._store.names)
        figures[REGISTRY_CACHED] = len(self._lookups.cache)
        figures[REGISTRY_INVALIDATED] = self._lookups.invalidations
        self._times.publish(figures)

    # What the store asks for.

    def announce(self, session: StoredSession) -> None:
        for name in session.names:
            self._announce(session, name)

    def renew(self, session: StoredSession) -> None:
        for name in session.names:
            renewed = self._redis.script(RENEW, [PREFIX + name], (session.id, self._store.lease_ms))
            renewed.add_done_callback(partial(self._renewed, session, name))

    def release(self, session: StoredSession) -> asyncio.Future[Any]:
        removed = []
        for name in session.names:
            removed.append(self._redis.script(UNREGISTER, [PREFIX + name], (session.id,), durable=True))
            self._lookups.forget(name)
            self._index.remove(name)
        return asyncio.gather(*removed)

    # What goes on by itself.

    def beat(self) -> None:
        self._index.flush()
        self._mail.beat()
        self._lookups.beat()
        if self._unannounced and self._service.loop.time() >= self._announce_at and self._redis.healthy:
            self._announce_again()
        if self._service.loop.time() >= self._sweep_at:
            self._sweep_at = self._service.loop.time() + SWEEP_S
            self._index.sweep()

    async def close(self) -> None:
        await self._index.close()

    def _register(
        self, session: StoredSession, name: str, record: bytes, *, durable: bool = False
    ) -> asyncio.Future[Any]:
        arguments = (session.id, self._node, record, self._store.lease_ms)
        return self._redis.script(REGISTER, [PREFIX + name], arguments, durable=durable)

    def _announce(self, session: StoredSession, name: str) -> None:
        announced = self._register(session, name, session.names[name])
        announced.add_done_callback(partial(self._announced, session, name))

    def _announced(self, session: StoredSession, name: str, announced: asyncio.Future[Any]) -> None:
        if not announced.cancelled() and announced.exception() is not None:
            self._unannounced[name] = session
        else:
            self._renewed(session, name, announced)

    def _announce_again(self) -> None:
        self._announce_at = self._service.loop.time() + ANNOUNCE_AGAIN_S
        unannounced, self._unannounced = self._unannounced, {}
        for name, session in unannounced.items():
            if self._is_here(name, session):
                # Only if the session is still here: who could not be reached may have been cut off.
                session.settle(partial(self._still_here, session, name))

    def _still_here(self, session: StoredSession, name: str, problem: Exception | None) -> None:
        if not self._is_here(name, session):
            return
        # A change on its way says it too, unless it fails.
        if problem is None and name not in self._changing:
            self._announce(session, name)
        else:
            self._unannounced[name] = session

    def _is_here(self, name: str, session: StoredSession) -> bool:
        return self._store.names.get(name) is session

    @contextmanager
    def _change(self, name: str) -> Iterator[None]:
        self._changing[name] += 1
        try:
            with _state_needed():
                yield
        finally:
            self._changing[name] -= 1
            if not self._changing[name]:
                del self._changing[name]

    def _renewed(self, session: StoredSession, name: str, renewed: asyncio.Future[Any]) -> None:
        # After a failure it is renewed in time: leases are three times as long.
        if renewed.cancelled() or renewed.exception() is not None:
            return
        if renewed.result() == TAKEN:
            self._drop(session, name)
        elif renewed.result() == GONE and name in session.names and name not in self._changing:
            self._announce(session, name)

    def _drop(self, session: StoredSession, name: str) -> None:
        session.discard_name(name)
        if self._store.names.get(name) is session:
            del self._store.names[name]
        self._lookups.forget(name)

    def _resolve_here(self, name: str) -> tuple[int, str, Entry | None] | None:
        """The source, the name that aliases lead to, and whose it is, as far as this worker knows."""
        worst = OWN
        for _ in range(ALIASES_MAX + 1):
            known = self._lookups.known(name)
            if known is None:
                return None
            source, entry = known
            worst = max(worst, source)
            if entry is None or entry.record.target is None:
                return worst, name, entry
            name = entry.record.target
        return worst, name, None

    async def _resolve(self, name: str) -> tuple[int, str, Entry | None]:
        """The same, where this worker does not know all of it."""
        worst = OWN
        for _ in range(ALIASES_MAX + 1):
            source, entry = self._lookups.known(name) or await self._lookups.ask(name)
            worst = max(worst, source)
            if entry is None or entry.record.target is None:
                return worst, name, entry
            name = entry.record.target
        return worst, name, None

    async def _find(self, name: str, started_ns: int) -> Found | None:
        with _state_needed():
            source, last, entry = await self._resolve(name)
        self._times.observe(source, started_ns)
        return _found(name, last, entry)


def _found(name: str, last: str, entry: Entry | None) -> Found | None:
    if entry is None:
        return None
    return Found(name, entry.node, entry.record.value, last if last != name else None)


def _stored(request: Request) -> StoredSession:
    session = request.session.stored if request.session is not None else None
    if session is None:
        reason = "names belong to sessions that outlive their connection: offer c100k/resume when you initialize"
        raise RegistryError(INVALID_REQUEST, reason)
    return session


@contextmanager
def _state_needed() -> Iterator[None]:
    try:
        yield
    except StateUnavailableError as error:
        told = as_request_error(error)
        raise RegistryError(told.code, told.message, told.data) from error

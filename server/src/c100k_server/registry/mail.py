"""Messages that wait in the inbox of a session, on their way to its client.

Whoever leaves a message leaves a hint as well, in the mailbox of the worker that has the session: a stream in the slot
of the cluster's events, so that a worker reads both at once. Without the hint the message is read with the next one,
or when the client comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from c100k_server.registry.scripts import HINT
from c100k_server.resumption import position_member, with_meta
from c100k_server.state.event_stream import KEY as EVENTS_KEY
from c100k_server.state.event_stream import read_position
from c100k_server.statistics import SENT

if TYPE_CHECKING:
    from c100k_server.service import Service
    from c100k_server.state.store import SessionStore
    from c100k_server.state.stored_session import StoredSession

# How long a mailbox is kept that nobody reads: no worker is away for so long and comes back.
MAILBOX_MS = 60_000
# Hints for one worker that wait for Redis. What does not fit is read later.
UNSENT_MAX = 10_000


def mailbox_key(life: str) -> str:
    """That of one life of a worker."""
    return f"c100k:mail:{{{EVENTS_KEY}}}:{life}"


class Mail:
    """`beat` must be called a few times per second."""

    def __init__(self, service: Service, store: SessionStore) -> None:
        self._service = service
        self._store = store
        self._unsent: dict[str, set[str]] = {}
        self._scheduled = False
        # Sessions whose client did not read when there was something, or that could not be read.
        self._behind: set[str] = set()
        # Sessions whose inbox is being read, and whether it must be read again.
        self._reading: dict[str, bool] = {}

    def hint(self, owner: str, session_id: str) -> None:
        """Have the owner of a session look into its inbox."""
        life = owner.rpartition(".")[0]
        if life == self._store.life:
            self.deliver(session_id)
            return
        self._unsent.setdefault(life, set()).add(session_id)
        if not self._scheduled:
            self._scheduled = True
            self._service.loop.call_soon(self._flush)

    def receive(self, session_ids: Iterable[str]) -> None:
        """Hints from others."""
        for session_id in session_ids:
            self.deliver(session_id)

    def deliver(self, session_id: str) -> None:
        """Send a client what it has not seen, when it is here."""
        session = self._store.held.get(session_id)
        if session is None or session.outlet is None:
            return
        if not session.outlet.open:
            self._behind.add(session_id)
        elif session_id in self._reading:
            self._reading[session_id] = True
        else:
            self._reading[session_id] = False
            self._store.inbox(session, session.inbox_id).add_done_callback(partial(self._read, session))

    def beat(self) -> None:
        """Try again what did not succeed."""
        self._flush()
        for session_id in list(self._behind):
            session = self._store.held.get(session_id)
            if session is None or session.outlet is None or session.outlet.open:
                self._behind.discard(session_id)
                self.deliver(session_id)

    def _read(self, session: StoredSession, read: asyncio.Future[Any]) -> None:
        again = self._reading.pop(session.id)
        if read.cancelled() or self._store.held.get(session.id) is not session:
            return
        if read.exception() is not None:
            self._behind.add(session.id)
            return
        for entry_id, fields in read.result():
            if not self._send(session, entry_id, fields[1]):
                self._behind.add(session.id)
                return
        if again:
            self.deliver(session.id)

    def _send(self, session: StoredSession, entry_id: bytes, message: bytes) -> bool:
        assert session.outlet is not None
        before = session.inbox_id
        if read_position(entry_id) <= read_position(before):
            return True
        session.inbox_id = entry_id
        sent = session.outlet.send(with_meta(message, position_member(entry_id, session.told_id)))
        if not sent:
            session.inbox_id = before
        self._service.figures[SENT] += sent
        return sent

    def _flush(self) -> None:
        self._scheduled = False
        unsent, self._unsent = self._unsent, {}
        for life, session_ids in unsent.items():
            key = mailbox_key(life)
            sent = self._store.redis.script(HINT, [key], (MAILBOX_MS, *session_ids), durable=True)
            sent.add_done_callback(partial(self._sent, life, session_ids))

    def _sent(self, life: str, session_ids: set[str], sent: asyncio.Future[Any]) -> None:
        if not sent.cancelled() and sent.exception() is not None:
            unsent = self._unsent.setdefault(life, set())
            unsent.update(islice(session_ids, max(0, UNSENT_MAX - len(unsent))))

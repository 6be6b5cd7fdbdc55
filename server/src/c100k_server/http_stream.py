"""Streamable HTTP: the messages that answer one POST, or that a GET waits for, and the sessions these belong to."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from c100k_server.authentication import Principal, identity_of
from c100k_server.jsonrpc import (
    BUSY,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    SESSION_MOVED,
    STATE_UNAVAILABLE,
)
from c100k_server.outlet import StandingOutlet
from c100k_server.service import Service
from c100k_server.session import Session
from c100k_server.state.store import Claimed
from c100k_server.statistics import STREAMS
from c100k_server.subscriptions import Event
from c100k_server.task_store import Owner
from c100k_server.worker_ids import new_id

# What a stream keeps for clients that come back with Last-Event-ID.
EVENTS_MAX = 256
EVENTS_MAX_BYTES = 2**16
# Streams of a session that are kept after their answer.
FINISHED_MAX = 4
# How long a client is to wait before it comes back.
RETRY_MS = 500
# The revisions whose clients understand an event without data, which gives them an id to come back with.
_PRIMED = ("2025-11-25",)

_STATELESS_STATUS = {METHOD_NOT_FOUND: 404, BUSY: 503, STATE_UNAVAILABLE: 503}
_SESSION_STATUS = {PARSE_ERROR: 400, INVALID_REQUEST: 400, BUSY: 503, STATE_UNAVAILABLE: 503, SESSION_MOVED: 503}


class Wire(Protocol):
    """The HTTP connection that a stream is carried by for now."""

    streaming: bool

    @property
    def peer(self) -> str: ...
    def start_events(self) -> None: ...
    def write_event(self, event: bytes, *, droppable: bool) -> bool: ...
    def end_events(self) -> None: ...
    def respond(self, status: int, body: bytes) -> None: ...


class StatelessStream:
    """The answer to a request of 2026-07-28. When its connection ends, so does the work.

    `principal` is who the client has shown to be, where it was asked.
    """

    __slots__ = ("_wire", "principal")

    def __init__(self, wire: Wire, principal: Principal | None) -> None:
        self._wire: Wire | None = wire
        self.principal = principal

    @property
    def standing(self) -> StandingOutlet:
        return self

    @property
    def open(self) -> bool:
        return self._wire is not None

    @property
    def client(self) -> Owner:
        if self.principal is not None:
            return Owner("bearer", identity_of(self.principal).hex())
        return Owner("address", self._wire.peer if self._wire is not None else "")

    def send(self, line: bytes) -> bool:
        wire = self._wire
        if wire is None:
            return False
        if not wire.streaming:
            wire.start_events()
        return wire.write_event(b"data: %b\n" % line, droppable=True)

    def answer(self, line: bytes, error_code: int) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if wire.streaming:
            wire.write_event(b"data: %b\n" % line, droppable=False)
            wire.end_events()
        else:
            wire.respond(_STATELESS_STATUS.get(error_code, 400) if error_code else 200, line)

    def leave(self) -> None:
        """It has no session."""

    def close_stream(self) -> None:
        """Nobody could come back."""

    def detach(self) -> None:
        self._wire = None


class SessionStream:
    """The answer to a request of a session, or what its GET waits for (number 0).

    It outlives its connection: events are kept so that the client can come back for those that it has not seen.
    """

    __slots__ = ("_by_get", "_events", "_next", "_number", "_owner", "_size", "_wire", "finished")

    def __init__(self, owner: HttpSession, number: int, wire: Wire | None) -> None:
        self._owner = owner
        self._number = number
        self._wire = wire
        self._by_get = False
        # Most answers are no stream of events, and streams wait long for their first.
        self._events: deque[tuple[int, bytes]] | None = None
        self._size = 0
        self._next = 1
        self.finished = False

    @property
    def standing(self) -> StandingOutlet:
        return self._owner

    @property
    def client(self) -> Owner:
        return self._owner.client

    @property
    def principal(self) -> Principal | None:
        return self._owner.principal

    @property
    def last(self) -> int:
        """The number of its last event."""
        return self._next - 1

    @property
    def stands(self) -> bool:
        """Whether it belongs to no request."""
        return self._number == 0

    @property
    def attached(self) -> bool:
        return self._wire is not None

    def start_events(self) -> None:
        """From here on this is a stream of events."""
        wire = self._wire
        if wire is not None and not wire.streaming:
            wire.start_events()
            self._owner.streams[self._number] = self
            self._prime(wire)

    def send(self, line: bytes, event_id: bytes = b"") -> bool:
        """With an `event_id` it can be asked for again at any node, and without one where it was sent."""
        if self._wire is None and self._number not in self._owner.streams:
            return False
        self.start_events()
        event = b"id: %b\ndata: %b\n" % (event_id or b"%d-%d" % (self._number, self._next), line)
        events = self._events
        if events is None:
            events = self._events = deque()
        events.append((self._next, event))
        self._next += 1
        self._size += len(event)
        while len(events) > EVENTS_MAX or (self._size > EVENTS_MAX_BYTES and len(events) > 1):
            self._size -= len(events.popleft()[1])
        if self._wire is not None:
            self._wire.write_event(event, droppable=False)
        return True

    def answer(self, line: bytes, error_code: int) -> None:
        wire = self._wire
        self.finished = True
        if wire is not None and not wire.streaming:
            self.detach()
            wire.respond(_SESSION_STATUS.get(error_code, 200), line)
        elif self.send(line):
            self._owner.forget_finished()
            self._end()

    def leave(self) -> None:
        self._owner.leave()

    def close_stream(self) -> None:
        self.start_events()
        self._end()

    def resume(self, wire: Wire, after: int) -> None:
        """Carry on over the connection of a GET, with the events after number `after`."""
        self._wire = wire
        self._by_get = True
        self._owner.figures[STREAMS["get"]] += 1
        wire.start_events()
        if after == self.last:
            self._prime(wire)
        for number, event in self._events or ():
            if number > after:
                wire.write_event(event, droppable=False)
        if self.finished:
            self._end()

    def carry_on(self, wire: Wire, missed: list[tuple[bytes, bytes]]) -> None:
        """Begin with lines that the client has missed wherever it was, each with its event id."""
        self._wire = wire
        wire.start_events()
        for line, event_id in missed:
            wire.write_event(b"id: %b\ndata: %b\n" % (event_id, line), droppable=False)
        self._prime(wire)

    def detach(self) -> None:
        self._wire = None
        self._owner.figures[STREAMS["get"]] -= self._by_get
        self._by_get = False

    def _end(self) -> None:
        if self._wire is not None:
            self._wire.end_events()
            self.detach()

    def _prime(self, wire: Wire) -> None:
        """Give the client an id to come back with before there is anything to say."""
        if self._owner.session.version in _PRIMED:
            event_id = (self.stands and self._owner.session.event_id) or b"%d-%d" % (self._number, self.last)
            wire.write_event(b"id: %b\nretry: %d\ndata: \n\n" % (event_id, RETRY_MS), droppable=False)


class HttpSession:
    """A session that HTTP requests refer to by its id; it belongs to the `principal` that opened it. As an outlet it is
    the GET stream."""

    __slots__ = ("_next", "figures", "on_left", "principal", "session", "streams", "used_at")

    def __init__(self, service: Service, session_id: str, principal: Principal | None) -> None:
        self.figures = service.figures
        self.session = Session(service, session_id)
        self.principal = principal
        self.streams: dict[int, SessionStream] = {}
        self.used_at = time.monotonic()
        # What to do when another worker has it.
        self.on_left: Callable[[], None] | None = None
        self._next = 1

    def open_stream(self, wire: Wire) -> SessionStream:
        """For a POST."""
        self._next += 1
        return SessionStream(self, self._next, wire)

    def standing_stream(self) -> SessionStream:
        """For a GET. Only those who name the last event that they have seen get what they missed."""
        return self.streams.setdefault(0, SessionStream(self, 0, None))

    def find_stream(self, last_event_id: str) -> tuple[SessionStream, int] | None:
        """The stream that an event was of, and the number of the event."""
        number, dash, event = last_event_id.partition("-")
        if not (dash and number.isascii() and number.isdecimal() and event.isascii() and event.isdecimal()):
            return None
        stream = self.streams.get(int(number[:18]))
        return (stream, int(event[:18])) if stream is not None else None

    @property
    def standing(self) -> StandingOutlet:
        return self

    @property
    def client(self) -> Owner:
        return self.session.owner

    @property
    def open(self) -> bool:
        return 0 in self.streams

    def send(self, line: bytes) -> bool:
        stream, stored = self.streams.get(0), self.session.stored
        return stream is not None and stream.send(line, b"" if stored is None else stored.position)

    def answer(self, line: bytes, error_code: int) -> None:
        """Nothing is asked of a session as such."""

    def leave(self) -> None:
        if self.on_left is not None:
            self.on_left()

    def close_stream(self) -> None:
        """The client closes its GET when it likes."""

    def tell(self, event: Event) -> bool:
        return self.session.hears(event) and self.send(self.session.line_of(event))

    @property
    def idle(self) -> bool:
        return not (
            self.session.busy or self.session.has_tasks or any(stream.attached for stream in self.streams.values())
        )

    def forget_finished(self) -> None:
        finished = [number for number, stream in self.streams.items() if stream.finished]
        for number in finished[:-FINISHED_MAX]:
            del self.streams[number]

    def close(self) -> None:
        self.session.close()
        for stream in self.streams.values():
            stream.finished = True
            stream.close_stream()


class HttpSessions:
    """The sessions of one worker."""

    __slots__ = ("_by_id", "_maximum", "_on_count", "_service", "_worker")

    def __init__(self, service: Service, worker: int, maximum: int, on_count: Callable[[int], None]) -> None:
        self._service = service
        self._worker = worker
        self._maximum = maximum
        self._by_id: dict[str, HttpSession] = {}
        self._on_count = on_count
        service.subscriptions.audiences.append(lambda: list(self._by_id.values()))

    def open(self, principal: Principal | None) -> HttpSession | None:
        """None when there are as many as there may be."""
        if len(self._by_id) >= self._maximum:
            return None
        return self._add(new_id(self._worker), principal)

    def carry_on(self, claimed: Claimed) -> None:
        """Have a session that another worker had."""
        session = self._add(claimed.session.id, claimed.session.profile.principal)
        session.session.carry_on(claimed, session)

    def find(self, session_id: str) -> HttpSession | None:
        session = self._by_id.get(session_id)
        if session is not None:
            session.used_at = time.monotonic()
        return session

    def close(self, session_id: str) -> asyncio.Future[Any] | None:
        """End a session; for one that is stored, the future says when that is known everywhere."""
        stored = self._by_id[session_id].session.stored
        self._leave(session_id)
        store = self._service.store
        return store.close(stored) if stored is not None and store is not None else None

    def _add(self, session_id: str, principal: Principal | None) -> HttpSession:
        session = self._by_id[session_id] = HttpSession(self._service, session_id, principal)
        session.on_left = partial(self._leave, session_id)
        self._on_count(len(self._by_id))
        return session

    def _leave(self, session_id: str) -> None:
        session = self._by_id.pop(session_id, None)
        if session is not None:
            session.close()
            self._on_count(len(self._by_id))

    def expire(self, idle_s: float) -> None:
        """End the sessions that nobody has used for so long."""
        before = time.monotonic() - idle_s
        for session_id, session in list(self._by_id.items()):
            if session.used_at < before and session.idle:
                closed = self.close(session_id)
                if closed is not None:
                    # If Redis cannot be told now, the lease ends it.
                    closed.add_done_callback(asyncio.Future.exception)

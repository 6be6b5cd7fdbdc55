"""Sending to sessions that outlive their connections.

A message that falls due while its session is away waits for it, with its intended time. What a connection that was lost
left unanswered is sent again over the next one, under the same id: an echo does no harm twice, and an increment has its
number.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import msgspec

from c100k_loadgen.calls import Calls
from c100k_loadgen.connection import Connection, State
from c100k_loadgen.messages import (
    AVAILABLE,
    SESSION_MOVED,
    STATE_UNAVAILABLE,
    UNAVAILABLE,
    Failure,
    Positioned,
    decode_session_message,
    increment_request,
)
from c100k_loadgen.resumable import ResumableSession, resumable
from c100k_loadgen.schedule import AnySchedule
from c100k_loadgen.sender import Outstanding, Sender
from c100k_loadgen.tally import Tally

#: Requests of one session that may wait for an answer, or for the session.
UNANSWERED_MAX = 256

_GOLDEN_RATIO = 0.6180339887498949

#: What a server that cannot use its state is given at least, whatever it asks for.
_RETRY_LEAST_S = 0.1

#: time, target, session, operation, attempt, outcome
OnOperation = Callable[[float, str, int, int, int, int | str], None]


class OnAvailability(Protocol):
    def __call__(self, target: str, *, is_available: bool) -> None: ...


def _regardless(target: str, *, is_available: bool) -> None:
    """Nobody wants to know."""


def evenly_spread(request_id: int) -> float:
    """A number in [0, 1). Whichever of the requests are a session's, theirs are spread evenly."""
    return request_id * _GOLDEN_RATIO % 1


class SessionSender(Sender):
    """A sender whose `live` holds one connection for each session, its last one when it is away.

    `increments` is the share of messages that are increments, unless the session has one unanswered already.
    `on_operation` gets what became of each attempt at one: its time, target, session, operation, attempt, and the
    counter, `refused` for want of state, `error` or `unknown`. `heard_from` counts the messages of each target, and
    `on_availability` is told what these say of their state.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tally: Tally,
        schedule: AnySchedule,
        hold_at: float,
        calls: Calls,
        timeout_s: float,
        *,
        increments: float,
        on_operation: OnOperation,
        at_boundary: Callable[[float], None],
    ) -> None:
        super().__init__(loop, tally, schedule, hold_at, calls, timeout_s, framed=False, at_boundary=at_boundary)
        self.heard_from: Counter[str] = Counter()
        self._increments = increments
        self._on_operation = on_operation
        self.on_availability: OnAvailability = _regardless
        self._refused: set[int] = set()  # outstanding requests that are to be asked again for want of state
        self._held_up: set[int] = set()  # outstanding requests whose sessions have been away meanwhile
        self._later: list[tuple[float, int, Connection]] = []  # heap of requests that are to be sent again

    @property
    def next_id(self) -> int:
        """The first id that no message had; of use once this is stopped."""
        return self._taken + 1

    def send_due(self, until: float) -> None:
        schedule, first, live = self._schedule, self._taken, self.live
        self._taken = due = schedule.due(until)
        for k in range(first, due):
            intended = schedule.time_of(k)
            if not live:
                self._tally.message_error(self._phase_of(intended), "", "not_connected")
                continue
            turn = self._turn if self._turn < len(live) else 0
            self._turn = turn + 1
            self._send(live[turn], k + 1, intended)

    def _send(self, connection: Connection, request_id: int, intended: float) -> None:
        session = resumable(connection).session
        if len(session.unanswered) >= UNANSWERED_MAX:
            self._tally.message_error(self._phase_of(intended), connection.target, "queue_full")
            return
        line, text = self._compose(session, request_id)
        now = time.monotonic()
        self.outstanding[request_id] = connection, intended, now, text
        session.unanswered.append(request_id)
        self._recorders_of(intended).slip.record(int((now - intended) * 1e6))
        self._totals.sent += 1
        if connection.state is State.LIVE:
            connection.write(line or self._line(session, request_id))
        else:
            self._held_up.add(request_id)

    def _compose(self, session: ResumableSession, request_id: int) -> tuple[bytes, str | None]:
        """Decide what a message is: its line, if that is final, and the text that an echo is to bring back."""
        if not session.increment_id and evenly_spread(request_id) < self._increments:
            session.begin_increment(request_id)
            return b"", ""
        return self._calls.message(request_id)

    def _line(self, session: ResumableSession, request_id: int) -> bytes:
        """A request, as it is about to be sent."""
        if request_id != session.increment_id:
            return self._calls.message(request_id)[0]
        session.attempt += 1
        session.in_flight = True
        return increment_request(request_id, session.operation)

    def add(self, connection: Connection) -> None:
        """A session has its first connection."""
        super().add(connection)
        resumable(connection).session.connection = resumable(connection)

    def lost(self, connection: Connection) -> None:
        """A session is away: nobody knows what became of what is unanswered."""
        self._held_up.update(resumable(connection).session.unanswered)
        self.left(connection)

    def left(self, connection: Connection) -> None:
        """A session goes on over another connection, and what is unanswered will be sent again over that."""
        self._attempt_ended(resumable(connection).session, "unknown", time.monotonic())

    def resumed(self, connection: Connection) -> None:
        """A session has another connection: send what is unanswered, all of it in one go."""
        session = resumable(connection).session
        assert session.connection is not None
        connection.place = session.connection.place
        self.live[connection.place] = session.connection = resumable(connection)
        now = time.monotonic()
        for request_id in session.unanswered:
            _, intended, _, text = self.outstanding[request_id]
            self.outstanding[request_id] = connection, intended, now, text
        connection.write(b"".join([self._line(session, request_id) for request_id in session.unanswered]))

    def drop_away(self) -> None:
        """Leave only those that are live, to be closed."""
        self.live[:] = [connection for connection in self.live if connection.state is State.LIVE]
        for place, connection in enumerate(self.live):
            connection.place = place

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        self.heard_from[connection.target] += 1
        try:
            message = decode_session_message(line)
        except msgspec.MsgspecError:
            self._malformed(connection, line, now)
            return
        if message.method is not None:
            self._told(connection, message.id, message.method, message.params)
            return
        request_id = message.id
        outstanding = self.outstanding.get(request_id)  # type: ignore[arg-type]
        if outstanding is None or outstanding[0] is not connection:
            self._unexpected(connection, request_id)
            return
        assert isinstance(request_id, int)
        text = outstanding[3]
        session, result, error = resumable(connection).session, message.result, message.error
        cause = ""
        if error is not None or (result is not None and result.isError):
            if request_id == session.increment_id:
                is_refusal = error is not None and error.code == STATE_UNAVAILABLE
                self._attempt_ended(session, "refused" if is_refusal else "error", now)
            if error is not None and self._is_to_be_repeated(connection, request_id, error, now):
                return
            cause = "rpc_error"
        elif request_id == session.increment_id:
            count = result.structuredContent if result is not None else None
            if count is not None and count.operation == session.operation:
                self._attempt_ended(session, count.n, now)
            else:
                cause = "wrong_payload"
        elif result is None or len(result.content) != 1 or result.content[0].text != text:
            cause = "wrong_payload"
        self._settle(request_id, cause, now)

    def _settle(self, request_id: int, cause: str, now: float) -> int | None:
        """Count the answer to a request; the microseconds from its intended send if it was right and in time."""
        held_up = request_id in self._held_up
        _, intended, sent, _ = self.outstanding[request_id]
        response_s = now - intended
        if cause or response_s > self._timeout_s:
            self._failed(request_id, cause, now)
            return None
        self._take(request_id)
        recorders, response_us = self._recorders_of(intended), int(response_s * 1e6)
        recorders.response.record(response_us)
        recorders.service.record(int((now - sent) * 1e6))
        if held_up:
            recorders.recovery.record(response_us)
        self._totals.answered += 1
        return response_us

    def _told(
        self, connection: Connection, request_id: int | str | None, method: str, params: Positioned | None
    ) -> None:
        """The server asks, or notifies: it says how far the session has come, or whether state can be used there."""
        if params is not None and params.meta is not None and params.meta.event_id:
            resumable(connection).session.event_id = params.meta.event_id
        if method in (AVAILABLE, UNAVAILABLE):
            self.on_availability(connection.target, is_available=method == AVAILABLE)
        else:
            self._asked(connection, request_id, method)

    def _is_to_be_repeated(self, connection: Connection, request_id: int, error: Failure, now: float) -> bool:
        """Whether a request that was refused stays unanswered: it is sent again when the server can use its state, or
        over the next connection of a session that has moved."""
        if error.code == SESSION_MOVED:
            connection.fail("moved")
        elif error.code == STATE_UNAVAILABLE:
            again_at = now + max(_RETRY_LEAST_S, error.retry_after_s) * random.uniform(1, 1.5)
            heapq.heappush(self._later, (again_at, request_id, connection))
            self._refused.add(request_id)
        return error.code in (SESSION_MOVED, STATE_UNAVAILABLE)

    def expire(self, now: float) -> None:
        super().expire(now)
        while self._later and self._later[0][0] <= now:
            _, request_id, connection = heapq.heappop(self._later)
            # Over another connection it has been sent again already.
            if connection.state is State.LIVE and request_id in self.outstanding:
                connection.write(self._line(resumable(connection).session, request_id))

    def _give_up(self, request_id: int, connection: Connection, intended: float, now: float) -> None:
        """One that the server has refused for want of state is no time-out: it was answered."""
        if request_id in self._refused:
            self._went_wrong(intended, connection.target, "state_unavailable")
            return
        super()._give_up(request_id, connection, intended, now)
        if request_id in self._held_up:
            self._recorders_of(intended).recovery.record(int((now - intended) * 1e6))

    def drop_lost(self) -> None:
        """What is unanswered waits for its session."""

    def drop_all(self) -> None:
        super().drop_lost()

    def _take(self, request_id: int) -> Outstanding:
        taken = super()._take(request_id)
        session = resumable(taken[0]).session
        session.unanswered.remove(request_id)
        self._held_up.discard(request_id)
        self._refused.discard(request_id)
        if request_id == session.increment_id:
            self._attempt_ended(session, "unknown", time.monotonic())
            session.increment_id = 0
        return taken

    def _attempt_ended(self, session: ResumableSession, outcome: int | str, now: float) -> None:
        """What the last attempt at an increment came to, unless that is known already."""
        if session.in_flight:
            session.in_flight = False
            assert session.connection is not None
            target = session.connection.target
            self._on_operation(now, target, session.number, session.operation, session.attempt, outcome)
            if isinstance(outcome, int):
                session.settled = True
                session.acked = max(session.acked, outcome)

"""Sessions that outlive their connections: a connection is lost, and the next one begins with `c100k/resume`."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from c100k_loadgen.connection import Connection, Owner, State
from c100k_loadgen.messages import (
    FIRST_ID,
    INITIALIZED,
    SESSION_NOT_FOUND,
    STATE_UNAVAILABLE,
    decode_session_answer,
    initialize_request,
    resume_request,
)
from c100k_loadgen.tcp import TcpSession


class Resumption(NamedTuple):
    """How a session went from one connection to the next. Times are `time.monotonic` seconds.

    `outcome` is `resumed`, `session_lost` when no server knew it, so that it began anew, or `away` when it never came
    back, which is when `to` is empty and `resumed_at` None.
    """

    session: int
    lost_at: float
    cause: str
    source: str
    to: str
    attempts: int
    resumed_at: float | None
    missed: int
    outcome: str


class ResumableSession:
    """One session, whichever connection it has. `number` tells it apart on its host.

    `connection` is the last one that was live, if any was. `id` and `event_id` are what the server knows it by.
    `unanswered` are the ids of the requests that wait for an answer, in their order; those of a session that is
    away too.

    Of its increments one is under way at a time, under the number `operation`: it is carried by the message
    `increment_id`, and was sent `attempt` times; `in_flight` says whether the last attempt may still be answered. Until
    it is `settled`, the next increment is another attempt at it. `acked` is the highest counter that was acknowledged.
    """

    __slots__ = (
        "acked",
        "attempt",
        "attempts",
        "cause",
        "connection",
        "event_id",
        "id",
        "in_flight",
        "increment_id",
        "known",
        "lost_at",
        "missed",
        "number",
        "operation",
        "settled",
        "unanswered",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.connection: ResumableConnection | None = None
        self.id = self.event_id = ""
        self.unanswered: list[int] = []
        self.operation = self.increment_id = self.attempt = self.acked = 0
        self.in_flight = False
        self.settled = True
        # Since it lost its connection.
        self.lost_at = 0.0
        self.cause = ""
        self.attempts = 0
        self.missed = 0
        self.known = True  # by the servers that were asked since it was live

    @property
    def live(self) -> bool:
        return self.connection is not None and self.connection.state is State.LIVE

    def begin_increment(self, request_id: int) -> None:
        """Have a message carry the next operation: the last one again when its outcome is not known."""
        self.increment_id = request_id
        if self.settled:
            self.operation += 1
            self.attempt = 0
            self.settled = False

    def lose(self, cause: str, now: float) -> None:
        """Its connection has ended."""
        self.lost_at, self.cause = now, cause
        self.attempts = self.missed = 0

    def resumption(self, source: str, to: str, resumed_at: float | None) -> Resumption:
        """How it went on, or did not."""
        outcome = "away" if resumed_at is None else "resumed" if self.known else "session_lost"
        return Resumption(
            self.number, self.lost_at, self.cause, source, to, self.attempts, resumed_at, self.missed, outcome
        )


class ResumableConnection(TcpSession):
    """One of the connections that a session has in turn. `retry_after_s` is what a server that could not serve it
    asked for."""

    __slots__ = ("retry_after_s", "session")

    def __init__(self, owner: Owner, session: ResumableSession, target: str, attempts: int, protocol: str) -> None:
        super().__init__(owner, session.number, target, attempts, protocol)
        self.session = session
        self.retry_after_s = 0.0

    def begin(self) -> None:
        session = self.session
        if session.id:
            self.write(resume_request(session.id, session.event_id))
        else:
            self.write(initialize_request(self._protocol, resumable=True))

    def _handshake(self, line: bytes) -> None:
        try:
            answer = decode_session_answer(line)
        except msgspec.MsgspecError:
            self.fail("garbage")
            return
        if answer.method is not None and answer.id is None:
            return  # a server may notify (its log, say) before it answers
        session, error, result = self.session, answer.error, answer.result
        if error is not None and error.code == STATE_UNAVAILABLE:
            self.retry_after_s = error.retry_after_s
            self.fail("state_unavailable")
        elif error is not None and error.code == SESSION_NOT_FOUND and session.id:
            # It begins anew on the same connection; what it had counted is lost, and will be missed.
            session.id, session.known = "", False
            self.begin()
        elif answer.id != FIRST_ID or result is None or result.protocolVersion != self._protocol:
            self.fail("garbage")
        elif session.id:
            session.event_id, session.missed = result.eventId or session.event_id, result.missed
            self._live()
        elif result.meta is None or not result.meta.session_id:
            self.fail("not_resumable")
        else:
            session.id, session.event_id = result.meta.session_id, result.meta.event_id or ""
            self.write(INITIALIZED)
            self._live()


def resumable(connection: Connection) -> ResumableConnection:
    """A connection of one who has no others."""
    assert isinstance(connection, ResumableConnection)
    return connection

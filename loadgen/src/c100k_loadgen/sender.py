"""Sending on an open-loop schedule, and checking every answer.

The time of a message is the one it was meant to go out at; it is never skipped because a connection is busy or the
process was late. Response time counts from there (no coordinated omission), service time from the actual send.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence

import msgspec

from c100k_loadgen.alarm import Alarm
from c100k_loadgen.calls import Calls
from c100k_loadgen.connection import Connection, State
from c100k_loadgen.messages import decode_envelope, decode_message, reply_to
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Interval, Recorder
from c100k_loadgen.schedule import AnySchedule
from c100k_loadgen.tally import Tally
from c100k_loadgen.words import of_failure

#: Whatever falls due within it is sent together: a wake-up for each message would cost more than the message.
_TICK_S = 0.001

#: Given-up requests that are remembered, so that a late answer is not taken for one to nothing.
_GIVEN_UP_KEPT = 200_000

#: connection, intended send, actual send (`time.monotonic` seconds), the text that should come back if one should
Outstanding = tuple[Connection, float, float, str | None]


class Recorders:
    """What is measured of the messages of one phase, by their intended send. `recovery` is the part of `response` whose
    sessions were away meanwhile."""

    __slots__ = ("recovery", "response", "service", "slip")

    def __init__(self) -> None:
        self.recovery = Recorder()
        self.response = Recorder()
        self.service = Recorder()
        self.slip = Recorder()


class CallRecord:
    """What is measured of one call of a mix: messages of the hold since the last `take`."""

    __slots__ = ("_recorder", "name", "sent")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self._recorder = Recorder()

    def answered(self, response_s: float) -> None:
        self._recorder.record(int(response_s * 1e6) if response_s > 0 else 0)

    def take(self) -> tuple[int, Interval]:
        """How many were sent, and the response times of those that were answered."""
        sent, self.sent = self.sent, 0
        return sent, self._recorder.take()


class Sender:
    """Sends the messages of `schedule` over the live connections in turn.

    `hold_at` parts the schedule into the settle and the hold phase. `others` are further recorders of some senders,
    each with the phase and the tag that they are logged under. Messages are `framed` by their connection where
    the transport wants more than the line itself. When it is woken at or after `boundary` it calls
    `at_boundary` first, so that a second's row is written before anything of the next second is done.
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
        framed: bool,
        at_boundary: Callable[[float], None],
    ) -> None:
        self.live: list[Connection] = []
        self.outstanding: dict[int, Outstanding] = {}  # by id, so oldest intended send first
        self.boundary = math.inf
        self.settle = Recorders()
        self.hold = Recorders()
        self.by_call = [CallRecord(name) for name in calls.names]
        self.others: Sequence[tuple[Phase, str, Recorder]] = ()
        self._tally = tally
        self._totals = tally.totals
        self._schedule = schedule
        self._hold_at = hold_at
        self._calls = calls
        self._framed = framed
        self._timeout_s = timeout_s
        self._at_boundary = at_boundary
        self._taken = 0  # messages of the schedule that were dealt with
        self._turn = 0  # place in `live` that the next message goes to
        self._given_up: OrderedDict[int, Connection] = OrderedDict()
        self._forgotten_below = 0  # ids below this one may have been given up without being remembered
        self._alarm = Alarm(loop, self._wake)
        self._arm(time.monotonic())

    def add(self, connection: Connection) -> None:
        connection.place = len(self.live)
        self.live.append(connection)

    def remove(self, connection: Connection) -> None:
        last = self.live.pop()
        if last is not connection:
            last.place = connection.place
            self.live[connection.place] = last

    def intended_before(self, t: float) -> int:
        return self._schedule.due(t)

    def stop(self, now: float) -> None:
        """Nothing that is intended from now on is sent."""
        self.send_due(now)
        self._schedule = self._schedule.limited(self._taken)
        self._alarm.close()

    def _arm(self, now: float) -> None:
        next_at = self._schedule.time_of(self._taken) if self._schedule.per_s > 0 else math.inf
        self._alarm.set(max(now + _TICK_S, next_at) if next_at < self._schedule.end else math.inf)

    def _wake(self) -> None:
        now = time.monotonic()
        if now >= self.boundary:
            self._at_boundary(now)
        self.send_due(now)
        self._arm(now)

    def send_due(self, until: float) -> None:
        """Send every message intended before `until` that was not sent yet. Message `k` has the id `k + 1`."""
        schedule, first, live = self._schedule, self._taken, self.live
        self._taken = due = schedule.due(until)
        # More messages than connections: those for the same connection go out in one write.
        batches: defaultdict[Connection, list[bytes]] | None = defaultdict(list) if due - first > len(live) else None
        clock, outstanding, message, turn = time.monotonic, self.outstanding, self._calls.message, self._turn
        framed, routing, mixed = self._framed, self._calls.routing, self.by_call
        for k in range(first, due):
            intended = schedule.time_of(k)
            # Looked at each time: a write that finds its connection broken takes it out of `live`.
            if turn >= len(live):
                turn = 0
                if not live:
                    self._tally.message_error(self._phase_of(intended), "", "not_connected")
                    continue
            connection = live[turn]
            turn += 1
            line, text = message(k + 1)
            if framed:
                line = connection.frame(k + 1, line, routing(k + 1))
            now = clock()
            outstanding[k + 1] = connection, intended, now, text
            slip_us = int((now - intended) * 1e6)
            (self.hold if intended >= self._hold_at else self.settle).slip.record(slip_us if slip_us > 0 else 0)
            self._totals.sent += 1
            if mixed and intended >= self._hold_at:
                mixed[self._calls.index(k + 1)].sent += 1
            if batches is None:
                connection.write(line)
            else:
                batches[connection].append(line)
        self._turn = turn
        if batches:
            for connection, lines in batches.items():
                connection.write(b"".join(lines))

    def _phase_of(self, intended: float) -> Phase:
        return "hold" if intended >= self._hold_at else "settle"

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        """One message from a connection that is live."""
        try:
            message = decode_message(line)
        except msgspec.MsgspecError:
            self._malformed(connection, line)
            return
        if message.method is not None:
            self._asked(connection, message.id, message.method)
            return
        request_id = message.id
        outstanding = self.outstanding.get(request_id)  # type: ignore[arg-type]
        if outstanding is None or outstanding[0] is not connection:
            self._unexpected(connection, request_id)
            return
        del self.outstanding[request_id]  # type: ignore[arg-type]
        _, intended, sent, text = outstanding
        response_s = now - intended
        if response_s > self._timeout_s:
            self._give_up(connection, intended, now)
            return
        result = message.result
        if message.error is not None or (result is not None and result.isError):
            self._tally.message_error(self._phase_of(intended), connection.target, "rpc_error")
            self._tally.words.add(of_failure(message))
        elif result is None or (text is not None and (len(result.content) != 1 or result.content[0].text != text)):
            self._tally.message_error(self._phase_of(intended), connection.target, "wrong_payload")
        else:
            recorders = self.hold if intended >= self._hold_at else self.settle
            recorders.response.record(int(response_s * 1e6) if response_s > 0 else 0)
            recorders.service.record(int((now - sent) * 1e6))
            self._totals.answered += 1
            if self.by_call and intended >= self._hold_at:
                self.by_call[self._calls.index(request_id)].answered(response_s)  # type: ignore[arg-type]

    def _malformed(self, connection: Connection, line: bytes) -> None:
        """JSON-RPC whose contents are of a wrong type is a wrong answer; anything else ends the connection."""
        try:
            envelope = decode_envelope(line)
        except msgspec.MsgspecError:
            connection.fail("garbage")
            return
        if envelope.method is not None:
            self._asked(connection, envelope.id, envelope.method)
            return
        outstanding = self.outstanding.get(envelope.id)  # type: ignore[arg-type]
        if outstanding is None or outstanding[0] is not connection:
            self._unexpected(connection, envelope.id)
            return
        self._take(envelope.id)  # type: ignore[arg-type]
        self._tally.message_error(self._phase_of(outstanding[1]), connection.target, "wrong_payload")

    def _asked(self, connection: Connection, request_id: int | str | None, method: str) -> None:
        """A request of the server gets its reply; a notification needs none."""
        if request_id is not None:
            connection.send(reply_to(request_id, method))

    def _unexpected(self, connection: Connection, request_id: int | str | None) -> None:
        """An answer to no request that is outstanding here: late ones were counted when they were given up."""
        if isinstance(request_id, int):
            if self._given_up.get(request_id) is connection:
                del self._given_up[request_id]
                return
            if 0 < request_id < self._forgotten_below:
                return
        self._tally.message_error(self._tally.phase, connection.target, "wrong_id")

    def refused(self, connection: Connection, request_id: int, cause: str) -> None:
        """A request was answered by the transport alone; one that has timed out was counted then."""
        if self._given_up.pop(request_id, None) is not None:
            return
        outstanding = self.outstanding.pop(request_id, None)
        if outstanding is not None:
            self._tally.message_error(self._phase_of(outstanding[1]), connection.target, cause)

    def expire(self, now: float) -> None:
        """Give up requests whose time is over, counted from their intended send."""
        expired = []
        for request_id, entry in self.outstanding.items():
            if now - entry[1] <= self._timeout_s:
                break
            expired.append(request_id)
        for request_id in expired:
            connection, intended, *_ = self._take(request_id)
            self._give_up(connection, intended, now)
            self._given_up[request_id] = connection
            if len(self._given_up) > _GIVEN_UP_KEPT:
                oldest, _ = self._given_up.popitem(last=False)
                self._forgotten_below = oldest + 1

    def _take(self, request_id: int) -> Outstanding:
        """An outstanding request, which is not outstanding any more."""
        return self.outstanding.pop(request_id)

    def _give_up(self, connection: Connection, intended: float, now: float) -> None:
        phase = self._phase_of(intended)
        self._tally.message_error(phase, connection.target, "timeout")
        (self.hold if phase == "hold" else self.settle).response.record(int((now - intended) * 1e6))

    def drop_all(self) -> None:
        """Every connection has ended, for good."""
        self.drop_lost()

    def drop_lost(self) -> None:
        """Count the requests whose connection ended before it answered."""
        lost = [request_id for request_id, entry in self.outstanding.items() if entry[0].state is State.ENDED]
        for request_id in lost:
            connection, intended, *_ = self._take(request_id)
            self._tally.message_error(self._phase_of(intended), connection.target, "connection_lost")

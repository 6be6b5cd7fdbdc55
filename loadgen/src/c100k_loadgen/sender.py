"""Sending on an open-loop schedule, and checking every answer.

The time of a message is the one it was meant to go out at; it is never skipped because a connection is busy or the
process was late. Response time counts from there (no coordinated omission), service time from the actual send.
"""

from __future__ import annotations

import asyncio
import bisect
import math
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Sequence

import msgspec

from c100k_loadgen.alarm import Alarm
from c100k_loadgen.calls import Calls
from c100k_loadgen.connection import Connection, State
from c100k_loadgen.heartbeats import Heartbeats
from c100k_loadgen.messages import decode_envelope, decode_message, reply_to
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Interval, Recorder
from c100k_loadgen.schedule import AnySchedule
from c100k_loadgen.tally import Tally
from c100k_loadgen.words import of_failure

#: Whatever falls due within it is sent together: a wake-up for each message would cost more than the message.
_TICK_S = 0.002

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


class StageRecorders(Recorders):
    """What is measured of the messages of one stage of the hold; `causes` are those of what went wrong, by target."""

    __slots__ = ("begins_at", "causes", "name")

    def __init__(self, name: str, begins_at: float) -> None:
        super().__init__()
        self.name = name
        self.begins_at = begins_at
        self.causes: Counter[tuple[str, str]] = Counter()

    def take_causes(self) -> Counter[tuple[str, str]]:
        """The causes since the last call."""
        taken, self.causes = self.causes, Counter()
        return taken


def _begin_of(stage: StageRecorders) -> float:
    return stage.begins_at


class CallRecord:
    """What is measured of one call of a mix: messages of the hold since the last `take`."""

    __slots__ = ("_recorder", "name", "sent")

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self._recorder = Recorder()

    def answered(self, response_s: float) -> None:
        self._recorder.record(int(response_s * 1e6))

    def take(self) -> tuple[int, Interval]:
        """How many were sent, and the response times of those that were answered."""
        sent, self.sent = self.sent, 0
        return sent, self._recorder.take()


class Sender:
    """Sends the messages of `schedule` over the live connections in turn.

    `hold_at` parts the schedule into the settle and the hold phase, and `stages` part the hold. `hold` are the
    recorders of the hold, or of the stage that messages are being sent of. `others` are further recorders of some
    senders, each with the phase and the tag that they are logged under. Messages are `framed` by their connection where
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
        stages: Sequence[StageRecorders] = (),
    ) -> None:
        self.live: list[Connection] = []
        self.outstanding: dict[int, Outstanding] = {}  # by id, so oldest intended send first
        self.boundary = math.inf
        self.settle = Recorders()
        self.stages = stages
        self.hold = stages[0] if stages else Recorders()
        self.by_call = [CallRecord(name) for name in calls.names]
        self.heartbeats: Heartbeats | None = None
        self.others: Sequence[tuple[Phase, str, Recorder]] = ()
        self._tally = tally
        self._totals = tally.totals
        self._schedule = schedule
        self._hold_at = hold_at
        self._recorded_from = hold_at  # what is intended from here on is recorded in `hold`
        self._next_stage_at = stages[1].begins_at if len(stages) > 1 else math.inf
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
        """Take a connection out of `live`, unless that was done before."""
        if connection.place < 0:
            return
        last = self.live.pop()
        if last is not connection:
            last.place = connection.place
            self.live[connection.place] = last
        connection.place = -1

    @property
    def idle(self) -> bool:
        """Whether nothing waits for an answer, or to be sent."""
        return not self.outstanding

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
        if until > self._next_stage_at:
            self._enter_stage(until)
        schedule, first, live = self._schedule, self._taken, self.live
        self._taken = due = schedule.due(until)
        # More messages than connections: those for the same connection go out in one write.
        batches: defaultdict[Connection, list[bytes]] | None = defaultdict(list) if due - first > len(live) else None
        clock, outstanding, message, turn = time.monotonic, self.outstanding, self._calls.message, self._turn
        framed, routing, mixed = self._framed, self._calls.routing, self.by_call
        hold, recorded_from, hold_at, sent = self.hold, self._recorded_from, self._hold_at, 0
        for request_id, intended in enumerate(schedule.times(first, due), first + 1):
            # Looked at each time: a write that finds its connection broken takes it out of `live`.
            if turn >= len(live):
                turn = 0
                if not live:
                    self._went_wrong(intended, "", "not_connected")
                    continue
            connection = live[turn]
            turn += 1
            line, text = message(request_id)
            if framed:
                line = connection.frame(request_id, line, routing(request_id))
            now = clock()
            outstanding[request_id] = connection, intended, now, text
            recorders = hold if intended >= recorded_from else self._recorders_of(intended)
            recorders.slip.record(int((now - intended) * 1e6))
            sent += 1
            if mixed and intended >= hold_at:
                mixed[self._calls.index(request_id)].sent += 1
            if batches is None:
                connection.write(line)
            else:
                batches[connection].append(line)
        self._turn = turn
        self._totals.sent += sent
        if batches:
            for connection, lines in batches.items():
                connection.write(b"".join(lines))

    def _enter_stage(self, until: float) -> None:
        """Record in the last stage that begins before `until`; what was intended earlier is looked up."""
        index = bisect.bisect_left(self.stages, until, key=_begin_of) - 1
        self.hold, self._recorded_from = self.stages[index], self.stages[index].begins_at
        rest = self.stages[index + 1 :]
        self._next_stage_at = rest[0].begins_at if rest else math.inf

    def _recorders_of(self, intended: float) -> Recorders:
        """Where a message is recorded, whenever it was intended."""
        if intended < self._hold_at:
            return self.settle
        return self._stage_of(intended) if self.stages else self.hold

    def _stage_of(self, intended: float) -> StageRecorders:
        return self.stages[bisect.bisect_right(self.stages, intended, key=_begin_of) - 1]

    def _went_wrong(self, intended: float, target: str, cause: str) -> None:
        """Count a message that was not answered as it should be."""
        self._tally.message_error(self._phase_of(intended), target, cause)
        if self.stages and intended >= self._hold_at:
            self._stage_of(intended).causes[target, cause] += 1

    def _phase_of(self, intended: float) -> Phase:
        return "hold" if intended >= self._hold_at else "settle"

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        """One message from a connection that is live."""
        try:
            message = decode_message(line)
        except msgspec.MsgspecError:
            self._malformed(connection, line, now)
            return
        if message.method is not None:
            self._asked(connection, message.id, message.method)
            return
        request_id = message.id
        outstanding = self.outstanding.get(request_id)  # type: ignore[arg-type]
        if outstanding is None or outstanding[0] is not connection:
            self._unexpected(connection, request_id, "" if message.error is None else "rpc_error")
            return
        del self.outstanding[request_id]  # type: ignore[arg-type]
        _, intended, sent, text = outstanding
        response_s = now - intended
        if response_s > self._timeout_s:
            self._give_up(request_id, connection, intended, now)  # type: ignore[arg-type]
            return
        result = message.result
        if message.error is not None or (result is not None and result.isError):
            self._went_wrong(intended, connection.target, "rpc_error")
            self._tally.words.add(of_failure(message))
        elif result is None or (text is not None and (len(result.content) != 1 or result.content[0].text != text)):
            self._went_wrong(intended, connection.target, "wrong_payload")
        else:
            recorders = self.hold if intended >= self._recorded_from else self._recorders_of(intended)
            recorders.response.record(int(response_s * 1e6))
            recorders.service.record(int((now - sent) * 1e6))
            self._totals.answered += 1
            if self.by_call and intended >= self._hold_at:
                self.by_call[self._calls.index(request_id)].answered(response_s)  # type: ignore[arg-type]

    def _malformed(self, connection: Connection, line: bytes, now: float) -> None:
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
            self._unexpected(connection, envelope.id, "" if envelope.error is None else "rpc_error")
            return
        self._failed(envelope.id, "wrong_payload", now)  # type: ignore[arg-type]

    def _asked(self, connection: Connection, request_id: int | str | None, method: str) -> None:
        """A request of the server gets its reply; a notification needs none."""
        if request_id is not None:
            connection.send(reply_to(request_id, method))

    def _unexpected(self, connection: Connection, request_id: int | str | None, cause: str = "") -> None:
        """An answer to no message that is outstanding here: to a ping, with the `cause` of its failure, or to nothing.
        Late ones were counted when they were given up."""
        if isinstance(request_id, int):
            if self.heartbeats is not None and self.heartbeats.settled(connection, request_id, cause):
                return
            if self._given_up.get(request_id) is connection:
                del self._given_up[request_id]
                return
            if 0 < request_id < self._forgotten_below:
                return
        self._tally.message_error(self._tally.phase, connection.target, "wrong_id")

    def refused(self, connection: Connection, request_id: int, cause: str) -> None:
        """A request was answered by the transport alone; one that has timed out was counted then."""
        if self.heartbeats is not None and self.heartbeats.settled(connection, request_id, cause):
            return
        if request_id in self.outstanding:
            self._failed(request_id, cause, time.monotonic())

    def _failed(self, request_id: int, cause: str, now: float) -> None:
        """Count a request with a wrong answer; one whose answer comes too late has timed out."""
        connection, intended, *_ = self.outstanding[request_id]
        if now - intended > self._timeout_s:
            self._give_up(request_id, connection, intended, now)
        else:
            self._went_wrong(intended, connection.target, cause)
        self._take(request_id)

    def expire(self, now: float) -> None:
        """Give up requests whose time is over, counted from their intended send."""
        expired = []
        for request_id, entry in self.outstanding.items():
            if now - entry[1] <= self._timeout_s:
                break
            expired.append(request_id)
        for request_id in expired:
            connection, intended, *_ = self.outstanding[request_id]
            self._give_up(request_id, connection, intended, now)
            self._take(request_id)
            self._given_up[request_id] = connection
            if len(self._given_up) > _GIVEN_UP_KEPT:
                oldest, _ = self._given_up.popitem(last=False)
                self._forgotten_below = oldest + 1

    def _take(self, request_id: int) -> Outstanding:
        """An outstanding request, which is not outstanding any more."""
        return self.outstanding.pop(request_id)

    def _give_up(self, request_id: int, connection: Connection, intended: float, now: float) -> None:
        """Count a request whose time is over."""
        self._went_wrong(intended, connection.target, "timeout")
        self._recorders_of(intended).response.record(int((now - intended) * 1e6))

    def drop_all(self) -> None:
        """Every connection has ended, for good."""
        self.drop_lost()

    def drop(self, connections: set[Connection], cause: str) -> None:
        """Count the requests of connections that are about to be broken off."""
        for request_id in [each for each, entry in self.outstanding.items() if entry[0] in connections]:
            connection, intended, *_ = self._take(request_id)
            self._went_wrong(intended, connection.target, cause)

    def owing(self) -> set[Connection]:
        """The connections that owe an answer."""
        return {entry[0] for entry in self.outstanding.values()}

    def drop_lost(self) -> None:
        """Count the requests whose connection ended before it answered."""
        lost = [request_id for request_id, entry in self.outstanding.items() if entry[0].state is State.ENDED]
        for request_id in lost:
            connection, intended, *_ = self._take(request_id)
            self._went_wrong(intended, connection.target, "connection_lost")

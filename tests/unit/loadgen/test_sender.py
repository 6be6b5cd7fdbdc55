"""What senders count, moment by moment: their clock is set by hand, and what they write goes nowhere."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from c100k_loadgen import sender as sender_module
from c100k_loadgen import session_sender as session_sender_module
from c100k_loadgen import thinking_sender as thinking_sender_module
from c100k_loadgen.calls import EchoCalls
from c100k_loadgen.connection import Connection, State
from c100k_loadgen.recorder import Recorder
from c100k_loadgen.resumable import ResumableConnection, ResumableSession
from c100k_loadgen.schedule import Schedule
from c100k_loadgen.sender import Sender, StageRecorders
from c100k_loadgen.session_sender import SessionSender
from c100k_loadgen.tally import Tally
from c100k_loadgen.tcp import TcpSession
from c100k_loadgen.thinking_sender import ThinkingSender

PROTOCOL = "2025-11-25"
CALLS = EchoCalls(20)
#: The message `k` is due at `k - 1`, and has so long to be answered; `LATE` is just too late for the first one.
TIMEOUT_S, LATE = 2.0, 2.0625
HOLD_AT, END = 10.0, 20.0


class Clock:
    """Stands for the module `time`."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


class StubAlarm:
    """Never rings."""

    at = math.inf

    def __init__(self, loop: object, ring: object) -> None:
        pass

    def set(self, at: float) -> None:
        StubAlarm.at = at

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (sender_module, session_sender_module, thinking_sender_module):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(sender_module, "Alarm", StubAlarm)
    return clock


class Bench:
    """Owns the connections of a sender, which are live at once; `written` has the ids of the calls that each got."""

    write_bound_bytes = message_bound_bytes = 1 << 20
    phase = "hold"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.tally = Tally()
        self.tally.phase = "hold"
        self.written: dict[Connection, list[int]] = {}
        self.operations: list[tuple[int, int, int | str]] = []  # number, attempt, outcome
        self.sender: Sender
        self._sending: Any = (None, self.tally, Schedule(0.0, END, 1.0), HOLD_AT, CALLS, TIMEOUT_S)

    def plain(self, *stages: StageRecorders) -> Sender:
        self.sender = Sender(*self._sending, framed=False, at_boundary=print, stages=stages)
        return self.sender

    def thinking(self, think_s: float) -> ThinkingSender:
        self.sender = made = ThinkingSender(*self._sending, framed=False, at_boundary=print, stages=(), think_s=think_s)
        return made

    def resuming(self, increments: float = 0.0) -> SessionSender:
        self.sender = made = SessionSender(
            *self._sending, increments=increments, on_operation=self._on_operation, at_boundary=print
        )
        return made

    def _on_operation(self, t: float, target: str, session: int, operation: int, attempt: int, outcome: Any) -> None:
        self.operations.append((operation, attempt, outcome))

    def connection(self) -> Connection:
        """Another one, to which messages go in its turn."""
        made = TcpSession(self, len(self.written), "t", 0, PROTOCOL)  # type: ignore[arg-type]
        self._begin(made)
        self.sender.add(made)
        return made

    def session(self) -> ResumableConnection:
        """The first connection of a session."""
        session = ResumableSession(len(self.written))
        session.id = "s"
        made = ResumableConnection(self, session, "t", 0, PROTOCOL)  # type: ignore[arg-type]
        self._begin(made)
        self.sender.add(made)
        return made

    def resume(self, session: ResumableSession) -> ResumableConnection:
        """The next connection of a session."""
        made = ResumableConnection(self, session, "t", 0, PROTOCOL)  # type: ignore[arg-type]
        self._begin(made)
        assert isinstance(self.sender, SessionSender)
        self.sender.resumed(made)
        return made

    def _begin(self, connection: Connection) -> None:
        written: list[int] = []

        def write(data: bytes) -> None:
            written.extend(json.loads(line)["id"] for line in data.splitlines())

        self.written[connection] = written
        connection.write = write
        connection.state = State.LIVE

    def ended(self, connection: Connection, cause: str) -> None:
        if isinstance(self.sender, SessionSender):
            self.sender.lost(connection)
        else:
            self.sender.remove(connection)

    def send_until(self, now: float) -> None:
        self.clock.now = now
        self.sender.send_due(now)

    def receive(self, connection: Connection, now: float, message: dict[str, Any]) -> None:
        self.clock.now = now
        self.sender.received(connection, json.dumps({"jsonrpc": "2.0", **message}).encode(), now)

    def expire(self, now: float) -> None:
        self.clock.now = now
        self.sender.expire(now)

    @property
    def wrong(self) -> Counter[str]:
        """What went wrong with messages, in any phase."""
        counts: Counter[str] = Counter()
        for (_, _, _, cause), count in self.tally.causes.items():
            counts[cause] += count
        return counts

    @property
    def totals(self) -> tuple[int, int, int, int]:
        totals = self.tally.totals
        return totals.sent, totals.answered, totals.timeouts, totals.errors


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


def answer(request_id: int) -> dict[str, Any]:
    return {"id": request_id, "result": {"content": [{"type": "text", "text": CALLS.message(request_id)[1]}]}}


def counter(request_id: int, operation: int, n: int) -> dict[str, Any]:
    return {"id": request_id, "result": {"content": [], "structuredContent": {"operation": operation, "n": n}}}


def error(request_id: int, code: int = -32603) -> dict[str, Any]:
    return {"id": request_id, "error": {"code": code, "message": "no"}}


def malformed(request_id: int) -> dict[str, Any]:
    return {"id": request_id, "result": {"content": 1}}


def samples(recorder: Recorder) -> tuple[int, int]:
    """How many values a recorder has, and the largest."""
    interval = recorder.take()
    return interval.samples, interval.max_us


# What became of one message.


@pytest.mark.parametrize("message", [answer(1), error(1), malformed(1)])
@pytest.mark.parametrize("kind", [Bench.plain, Bench.resuming, lambda bench: bench.thinking(1.0)])
def test_an_answer_just_after_the_timeout_is_a_timeout(
    bench: Bench, kind: Callable[[Bench], Sender], message: dict[str, Any]
) -> None:
    sender = kind(bench)
    connection = bench.session() if isinstance(sender, SessionSender) else bench.connection()
    bench.send_until(0.5)
    bench.receive(connection, LATE, message)
    bench.expire(LATE + 0.01)
    assert bench.wrong == {"timeout": 1}
    assert bench.totals == (1, 0, 1, 0)
    assert samples(sender.settle.response) == (1, 2_062_500)
    assert samples(sender.settle.service) == (0, 0)
    assert sender.idle


@pytest.mark.parametrize("kind", [Bench.plain, Bench.resuming])
def test_an_answer_in_the_last_moment_is_in_time(bench: Bench, kind: Callable[[Bench], Sender]) -> None:
    connection = bench.session() if isinstance(kind(bench), SessionSender) else bench.connection()
    bench.send_until(0.5)
    bench.receive(connection, TIMEOUT_S, answer(1))
    assert bench.totals == (1, 1, 0, 0)


@pytest.mark.parametrize(("now", "cause"), [(TIMEOUT_S, "bad_status"), (LATE, "timeout")])
def test_a_refusal_just_after_the_timeout_is_a_timeout(bench: Bench, clock: Clock, now: float, cause: str) -> None:
    sender = bench.plain()
    connection = bench.connection()
    bench.send_until(0.5)
    clock.now = now
    sender.refused(connection, 1, "bad_status")
    sender.refused(connection, 1, "bad_status")
    assert bench.wrong == {cause: 1}


def test_a_timeout_counts_from_the_intended_send(bench: Bench) -> None:
    sender = bench.plain()
    bench.connection()
    bench.clock.now = 1.5  # this process was late
    sender.send_due(0.5)
    bench.expire(TIMEOUT_S)
    assert bench.wrong == {}
    bench.expire(LATE)
    assert bench.wrong == {"timeout": 1}


def test_an_answer_over_another_connection_is_none(bench: Bench) -> None:
    bench.plain()
    own, other = bench.connection(), bench.connection()
    bench.send_until(0.5)
    for message in (answer(1), error(1), malformed(1)):
        bench.receive(other, 1.0, message)
    assert bench.wrong == {"wrong_id": 3}
    bench.receive(own, 1.0, answer(1))
    assert bench.totals == (1, 1, 0, 3)


def test_an_answer_with_more_than_was_asked_for_is_wrong(bench: Bench) -> None:
    bench.plain()
    connection = bench.connection()
    bench.send_until(0.5)
    twice = answer(1)
    twice["result"]["content"] *= 2
    bench.receive(connection, 1.0, twice)
    assert bench.wrong == {"wrong_payload": 1}


def test_late_answers_are_ignored_once_and_only_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "_GIVEN_UP_KEPT", 2)
    bench.plain()
    one, two = bench.connection(), bench.connection()
    bench.send_until(3.5)
    assert bench.written == {one: [1, 3], two: [2, 4]}
    bench.expire(9.0)
    assert bench.wrong == {"timeout": 4}
    bench.receive(one, 9.1, answer(4))
    assert bench.wrong == {"timeout": 4, "wrong_id": 1}
    # The first two are not remembered any more: any answer to them is taken for a late one.
    for connection, request_id in ((one, 1), (two, 2), (two, 1), (one, 3), (two, 4)):
        bench.receive(connection, 9.2, answer(request_id))
    assert bench.wrong == {"timeout": 4, "wrong_id": 1}
    for connection, request_id in ((one, 0), (one, 3), (two, 4), (one, 5)):
        bench.receive(connection, 9.3, answer(request_id))
    assert bench.wrong == {"timeout": 4, "wrong_id": 5}


def test_what_is_under_way_on_connections_that_are_broken_off(bench: Bench) -> None:
    sender = bench.plain()
    broken, other = bench.connection(), bench.connection()
    for second in range(4):
        bench.send_until(second + 0.5)
    assert sender.owing() == {broken, other}
    sender.drop({broken}, "storm")
    assert bench.wrong == {"storm": 2}
    assert sender.owing() == {other}


def test_a_connection_is_taken_out_once(bench: Bench) -> None:
    sender = bench.plain()
    first, second, third = (bench.connection() for _ in range(3))
    for connection in (first, first, third, third):
        sender.remove(connection)
    assert sender.live == [second]
    for number in range(3):
        bench.send_until(number + 0.5)
    assert bench.written == {first: [], second: [1, 2, 3], third: []}


@pytest.mark.parametrize("kind", [Bench.plain, Bench.resuming])
def test_the_hold_has_its_first_message(bench: Bench, kind: Callable[[Bench], Sender]) -> None:
    sender = kind(bench)
    connection = bench.session() if isinstance(sender, SessionSender) else bench.connection()
    bench.send_until(HOLD_AT + 0.5)
    bench.receive(connection, HOLD_AT + 0.6, answer(11))
    assert samples(sender.hold.slip)[0] == samples(sender.hold.response)[0] == samples(sender.hold.service)[0] == 1
    assert samples(sender.settle.slip)[0] == 10


def test_a_sender_that_stops_sends_what_was_due_and_no_more(bench: Bench) -> None:
    sender = bench.plain()
    connection = bench.connection()
    bench.clock.now = 2.5
    sender.stop(2.5)
    bench.send_until(END)
    assert bench.written[connection] == [1, 2, 3]
    assert sender.intended_before(END) == 3


def test_what_a_message_is_filed_under_follows_from_its_intended_send(bench: Bench) -> None:
    first, second, third = (StageRecorders(name, HOLD_AT + 2 * index) for index, name in enumerate("abc"))
    sender = bench.plain(first, second, third)
    connection = bench.connection()
    bench.send_until(HOLD_AT + 0.5)
    bench.send_until(HOLD_AT + 3.5)  # so late that one of the first stage goes out in the second
    bench.send_until(HOLD_AT + 4.5)
    assert [samples(recorders.slip)[0] for recorders in (sender.settle, first, second, third)] == [10, 2, 2, 1]
    for request_id in (12, 14, 15):
        bench.receive(connection, HOLD_AT + 4.6, answer(request_id))
    assert [samples(recorders.service)[0] for recorders in (sender.settle, first, second, third)] == [0, 0, 1, 1]
    bench.expire(END)
    waiting = [samples(recorders.response)[0] for recorders in (sender.settle, first, second, third)]
    assert waiting == [10, 2, 2, 1], "with those that came too late, or not at all"
    causes = [stage.take_causes().total() for stage in (first, second, third)]
    assert causes == [2, 1, 0]
    sender.remove(connection)
    bench.send_until(END)
    assert third.take_causes() == {("", "not_connected"): 5}


# Sessions that outlive their connections.


def test_messages_that_were_held_up_are_told_apart(bench: Bench) -> None:
    sender = bench.resuming()
    connection = bench.session()
    bench.send_until(0.5)
    connection.fail("reset")
    bench.send_until(1.25)
    connection = bench.resume(connection.session)
    assert bench.written[connection] == [1, 2], "the one that was under way, and the one that fell due meanwhile"
    bench.receive(connection, 1.5, answer(1))
    bench.receive(connection, 1.75, answer(2))
    bench.send_until(2.5)
    bench.receive(connection, 2.75, answer(3))
    assert samples(sender.settle.recovery) == (2, 1_500_000)
    assert samples(sender.settle.response)[0] == samples(sender.settle.service)[0] == 3


@pytest.mark.parametrize("answered", [True, False])
def test_a_message_that_was_held_up_for_too_long_is_one_of_them(bench: Bench, *, answered: bool) -> None:
    sender = bench.resuming()
    connection = bench.session()
    bench.send_until(0.5)
    connection.fail("reset")
    connection = bench.resume(connection.session)
    if answered:
        bench.receive(connection, LATE, answer(1))
    else:
        bench.expire(LATE)
    assert bench.wrong == {"timeout": 1}
    assert samples(sender.settle.response) == samples(sender.settle.recovery) == (1, 2_062_500)


def test_only_so_many_messages_wait_for_a_session(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_sender_module, "UNANSWERED_MAX", 2)
    bench.resuming()
    connection = bench.session()
    connection.fail("reset")
    bench.send_until(3.5)
    assert bench.wrong == {"queue_full": 2}
    assert bench.written[bench.resume(connection.session)] == [1, 2]


def test_the_answer_belongs_to_the_connection_that_asked_last(bench: Bench) -> None:
    bench.resuming()
    connection = bench.session()
    bench.send_until(0.5)
    later = bench.resume(connection.session)
    bench.receive(connection, 0.6, answer(1))
    assert bench.wrong == {"wrong_id": 1}
    bench.receive(later, 0.7, answer(1))
    assert bench.totals == (1, 1, 0, 1)


def test_an_increment_that_times_out_is_asked_for_again(bench: Bench) -> None:
    bench.resuming(increments=1.0)
    connection = bench.session()
    bench.send_until(0.5)
    bench.expire(LATE)
    bench.send_until(LATE)
    bench.receive(connection, 2.1, counter(2, 1, 1))
    bench.send_until(3.5)
    assert bench.operations == [(1, 1, "unknown"), (1, 2, 1)]
    assert connection.session.operation == 2


def test_the_count_of_another_operation_acknowledges_nothing(bench: Bench) -> None:
    bench.resuming(increments=1.0)
    connection = bench.session()
    bench.send_until(0.5)
    bench.receive(connection, 0.6, counter(1, 2, 7))
    assert bench.wrong == {"wrong_payload": 1}
    assert bench.operations == [(1, 1, "unknown")]
    assert connection.session.acked == 0


def test_what_was_acknowledged_once_stays_so(bench: Bench) -> None:
    bench.resuming(increments=1.0)
    connection = bench.session()
    for request_id, n in ((1, 5), (2, 3)):
        bench.send_until(request_id - 0.5)
        bench.receive(connection, request_id - 0.4, counter(request_id, request_id, n))
    assert connection.session.acked == 5


def test_what_was_refused_is_sent_again_where_it_waits(bench: Bench) -> None:
    bench.resuming(increments=1.0)
    connection = bench.session()
    bench.send_until(0.5)
    bench.receive(connection, 0.6, error(1, -32010))
    bench.expire(0.65)
    assert bench.written[connection] == [1]
    bench.expire(0.8)
    assert bench.written[connection] == [1, 1]
    bench.receive(connection, 0.9, error(1, -32010))
    connection.fail("reset")
    bench.expire(1.2)
    later = bench.resume(connection.session)
    assert bench.written[later] == [1]
    bench.receive(later, 1.3, counter(1, 1, 1))
    bench.expire(2.5)
    assert bench.operations == [(1, 1, "refused"), (1, 2, "refused"), (1, 3, 1)]
    assert bench.wrong == {}


def test_what_was_refused_until_its_time_was_over(bench: Bench) -> None:
    bench.resuming()
    connection = bench.session()
    bench.send_until(0.5)
    bench.receive(connection, 1.95, error(1, -32010))
    bench.expire(LATE)
    assert bench.wrong == {"state_unavailable": 1}
    bench.expire(4.0)
    assert bench.written[connection] == [1]


def test_a_notification_with_odd_parameters_is_no_answer(bench: Bench) -> None:
    bench.resuming()
    bench.receive(bench.session(), 0.5, {"method": "notifications/message", "params": ["odd"]})
    assert bench.wrong == {}


# Connections that think.


@pytest.mark.parametrize("settled", ["right", "error", "malformed", "refused", "timeout"])
def test_a_connection_rests_after_whatever_settles_its_message(bench: Bench, clock: Clock, settled: str) -> None:
    sender = bench.thinking(0.1)
    connection = bench.connection()
    bench.send_until(1.5)
    clock.now = LATE if settled == "timeout" else 1.6
    if settled == "timeout":
        bench.expire(clock.now)
    elif settled == "refused":
        sender.refused(connection, 1, "bad_status")
    else:
        messages = {"right": answer(1), "error": error(1), "malformed": malformed(1)}
        bench.receive(connection, clock.now, messages[settled])
    bench.send_until(clock.now + 0.09)
    assert bench.written[connection] == [1]
    bench.send_until(clock.now + 0.02)
    assert bench.written[connection] == [1, 2]


def test_what_is_no_answer_frees_no_connection(bench: Bench) -> None:
    bench.thinking(0.1)
    connection = bench.connection()
    bench.send_until(1.5)
    bench.receive(connection, 1.6, {"method": "notifications/message"})
    bench.receive(connection, 1.6, answer(7))
    bench.send_until(1.9)
    assert bench.written[connection] == [1]
    bench.receive(connection, 1.9, answer(1))
    assert pytest.approx(2.0) == StubAlarm.at, "the other is sent as soon as there is a free one"
    bench.send_until(2.01)
    assert bench.written[connection] == [1, 2]


def test_a_connection_that_has_gone_gets_no_message(bench: Bench) -> None:
    sender = bench.thinking(0.1)
    first, second = bench.connection(), bench.connection()
    sender.remove(first)
    bench.send_until(0.5)
    assert bench.written == {first: [], second: [1]}
    sender.remove(second)
    bench.receive(second, 0.6, answer(1))
    third = bench.connection()
    bench.send_until(1.5)
    assert bench.written[third] == [2]


def test_what_still_waits_at_the_end_is_counted(bench: Bench) -> None:
    sender = bench.thinking(0.1)
    connection = bench.connection()
    bench.send_until(1.9)
    sender.stop(1.9)
    assert not sender.idle
    connection.fail("stop")
    sender.drop_all()
    assert bench.wrong == {"connection_lost": 1, "no_free_connection": 1}


def test_messages_that_find_nobody_connected_do_not_wait(bench: Bench) -> None:
    bench.thinking(0.1)
    bench.send_until(0.5)
    connection = bench.connection()
    bench.send_until(1.5)
    assert bench.wrong == {"not_connected": 1}
    assert bench.written[connection] == [2]

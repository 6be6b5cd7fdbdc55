"""When and where sessions go on that have lost their connection, and what is told of it; by a clock that is set."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from c100k_loadgen import fail_over as fail_over_module
from c100k_loadgen.fail_over import UNDER_WAY, FailOver
from c100k_loadgen.plan import Target
from c100k_loadgen.resumable import ResumableConnection, ResumableSession

TICK_S = 0.05


class Clock:
    """Stands for the module `time`, and for an event loop with one timer."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timer: tuple[float, Callable[[], None]] | None = None

    def monotonic(self) -> float:
        return self.now

    def call_later(self, delay_s: float, call: Callable[[], None]) -> Clock:
        self._timer = self.now + delay_s, call
        return self

    def cancel(self) -> None:
        self._timer = None

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timer is not None and self._timer[0] <= end:
            self.now, call = self._timer
            self._timer = None
            call()
        self.now = end


class Bench:
    """Three targets and sessions of the first; `begun` are the attempts: when, of which session, to which target."""

    def __init__(self, clock: Clock, pace_per_s: float = 1e6) -> None:
        self.clock = clock
        self.up = set("abc")
        self.held = dict.fromkeys("abc", 10)
        self.begun: list[tuple[float, ResumableSession, str]] = []
        targets = [Target(name=name, address="127.0.0.1", port=7000) for name in self.held]
        loop: Any = clock
        self.fail_over = FailOver(loop, targets, self.up.__contains__, self.held, self._begin, pace_per_s)

    def _begin(self, session: ResumableSession, target: Target) -> None:
        self.begun.append((self.clock.now, session, target.name))

    def lose(self, sessions: int = 1) -> None:
        for number in range(sessions):
            session = ResumableSession(number)
            connection: Any = SimpleNamespace(target="a")
            session.connection = connection
            self.fail_over.lost(session)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(fail_over_module, "time", clock)
    return clock


@pytest.fixture
def bench(clock: Clock) -> Bench:
    return Bench(clock)


def test_attempts_keep_their_pace(clock: Clock) -> None:
    bench = Bench(clock, pace_per_s=20)
    clock.advance(60)  # what is not needed is not saved
    bench.lose(100)
    clock.advance(2 * TICK_S)
    assert len(bench.begun) <= 2 + 2 * TICK_S * 20, "two more at once"
    clock.advance(2)
    assert 40 <= len(bench.begun) <= 2 + 42


def test_so_many_attempts_are_under_way_at_most(bench: Bench, clock: Clock) -> None:
    bench.lose(2 * UNDER_WAY)
    clock.advance(1)
    assert len(bench.begun) == UNDER_WAY
    for _, session, _ in bench.begun[:10]:
        bench.fail_over.failed(session, 0)
    for _, session, _ in bench.begun[10:30]:
        bench.fail_over.resumed(session)
    assert len(bench.fail_over.away) == 2 * UNDER_WAY - 20
    clock.advance(10)
    assert len(bench.begun) == UNDER_WAY + 30


@pytest.mark.parametrize(("held", "target"), [({"a": 0, "b": 5, "c": 3}, "c"), ({"a": 0, "b": 3, "c": 5}, "b")])
def test_the_less_busy_of_the_others_is_next(bench: Bench, clock: Clock, held: dict[str, int], target: str) -> None:
    bench.held.update(held)
    bench.lose(20)
    clock.advance(1)
    assert [each for _, _, each in bench.begun] == [target] * 20


@pytest.mark.parametrize(("up", "targets"), [("ab", {"b"}), ("a", {"a"}), ("", {"a", "b", "c"})])
def test_the_lost_target_is_next_only_when_there_is_no_other(
    bench: Bench, clock: Clock, up: str, targets: set[str]
) -> None:
    bench.up.intersection_update(up)
    bench.lose(100)
    clock.advance(1)
    assert len(bench.begun) == 100
    assert {each for _, _, each in bench.begun} == targets


@pytest.mark.parametrize(
    ("attempts", "retry_after_s", "least_s"),
    [(1, 0, 0.1), (2, 0, 0.2), (3, 0, 0.4), (6, 0, 2), (60, 0, 2), (1, 1.5, 1.5), (3, 0.2, 0.4)],
)
def test_what_fails_is_tried_again_later(
    bench: Bench, clock: Clock, attempts: int, retry_after_s: float, least_s: float
) -> None:
    bench.lose()
    clock.advance(1)
    [(_, session, _)] = bench.begun
    assert session.attempts == 1
    session.attempts = attempts
    bench.fail_over.failed(session, retry_after_s)
    clock.advance(least_s - 0.001)
    assert len(bench.begun) == 1
    clock.advance(0.5 * least_s + TICK_S + 0.002)
    assert len(bench.begun) == 2


def test_nobody_is_brought_back_after_the_end(bench: Bench, clock: Clock) -> None:
    bench.lose(5)
    bench.fail_over.stop()
    bench.lose(5)
    clock.advance(10)
    assert bench.begun == []


# What is told of a session.


def test_each_loss_is_told_by_itself() -> None:
    session = ResumableSession(7)
    session.attempts, session.missed = 3, 2
    session.lose("eof", 6.0)
    assert session.resumption("b", "c", 7.0) == (7, 6.0, "eof", "b", "c", 0, 7.0, 0, "resumed")


class Owner:
    """Hears of the end of attempts."""

    write_bound_bytes = message_bound_bytes = 1 << 20
    phase = "ramp"

    def __init__(self) -> None:
        self.heard: list[str] = []

    def opened(self, connection: ResumableConnection) -> None:
        self.heard.append("opened")

    def opening_failed(self, connection: ResumableConnection, cause: str) -> None:
        self.heard.append(cause)


META = {"c100k/sessionId": "s", "c100k/eventId": "4"}


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        ({"id": 0, "result": {"protocolVersion": "2025-11-25", "_meta": META}}, "opened"),
        ({"id": 1, "result": {"protocolVersion": "2025-11-25", "_meta": META}}, "bad_handshake"),
        ({"id": 0, "result": {"protocolVersion": "2025-06-18", "_meta": META}}, "bad_handshake"),
        ({"id": 0, "result": {"protocolVersion": "2025-11-25"}}, "not_resumable"),
        ({"id": 0, "error": {"code": -32010, "data": {"retryAfterMs": 1500}}}, "state_unavailable"),
        ({"id": 0, "error": {"code": -32004}}, "bad_handshake"),
    ],
)
def test_how_a_session_begins(answer: dict[str, Any], heard: str) -> None:
    owner: Any = Owner()
    connection = ResumableConnection(owner, ResumableSession(1), "a", 0, "2025-11-25")
    connection.data_received(json.dumps({"jsonrpc": "2.0", **answer}).encode() + b"\n")
    assert owner.heard == [heard]
    assert connection.retry_after_s == (1.5 if heard == "state_unavailable" else 0)

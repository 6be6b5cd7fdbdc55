"""When sessions leave a target that cannot use its state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from c100k_loadgen import departures
from c100k_loadgen.departures import Departures
from c100k_loadgen.plan import Target

LOOK_S, NOTICE_S, STEADY_S = 0.01, 0.2, 0.6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(departures, "_LOOK_S", LOOK_S)
    monkeypatch.setattr(departures, "_NOTICE_S", NOTICE_S)
    monkeypatch.setattr(departures, "_STEADY_S", STEADY_S)


class Bench:
    """Three targets with sessions; `left` says which were left, and after how long."""

    def __init__(self) -> None:
        self.held = dict.fromkeys("abc", 10)
        self.dead: set[str] = set()
        self.left: dict[str, float] = {}
        self._began = time.monotonic()
        targets = [Target(name=name, address="127.0.0.1", port=7000) for name in self.held]
        loop = asyncio.get_running_loop()
        self.departures = Departures(loop, targets, lambda name: name not in self.dead, self.held, self._leave)

    def _leave(self, target: str) -> None:
        assert target not in self.left, "it has no sessions any more"
        self.left[target] = time.monotonic() - self._began
        self.held[target] = 0

    def say(self, targets: str, *, is_available: bool = False) -> None:
        for target in targets:
            self.departures.told(target, is_available=is_available)


def run(scene: Callable[[Bench], None], seconds: float) -> Bench:
    async def play() -> Bench:
        bench = Bench()
        scene(bench)
        await asyncio.sleep(seconds)
        bench.departures.stop()
        return bench

    return asyncio.run(play())


def test_one_that_is_cut_off_is_left_after_a_while() -> None:
    bench = run(lambda bench: bench.say("b"), 4 * NOTICE_S)
    assert bench.left.keys() == {"b"}
    assert bench.left["b"] >= NOTICE_S


def test_none_is_left_when_all_have_said_so() -> None:
    bench = run(lambda bench: bench.say("abc"), 4 * NOTICE_S)
    assert bench.left == {}


def test_one_that_is_dead_is_not_better() -> None:
    def scene(bench: Bench) -> None:
        bench.dead.add("c")
        bench.say("ab")

    assert run(scene, 4 * NOTICE_S).left == {}


def test_the_first_to_have_it_back_is_not_run_to() -> None:
    def scene(bench: Bench) -> None:
        loop = asyncio.get_running_loop()
        bench.say("abc")
        loop.call_later(1.5 * NOTICE_S, lambda: bench.say("a", is_available=True))
        loop.call_later(3 * NOTICE_S, lambda: bench.say("bc", is_available=True))

    assert run(scene, 1.5 * NOTICE_S + 2 * STEADY_S).left == {}


def test_one_that_does_not_have_it_back_is_left_in_the_end() -> None:
    def scene(bench: Bench) -> None:
        bench.say("abc")
        bench.say("ab", is_available=True)

    bench = run(scene, STEADY_S + 3 * NOTICE_S)
    assert bench.left.keys() == {"c"}
    assert bench.left["c"] >= STEADY_S

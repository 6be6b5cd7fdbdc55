"""What is told of sessions whose moves come to nothing, and how connections are closed in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from c100k_loadgen.assignment import Assignment
from c100k_loadgen.calls import EchoCalls
from c100k_loadgen.farewell import close_all
from c100k_loadgen.plan import Plan, Target
from c100k_loadgen.resumable import ResumableConnection, Resumption
from c100k_loadgen.schedule import Schedule
from c100k_loadgen.session_sender import SessionSender
from c100k_loadgen.sessions import Sessions
from c100k_loadgen.tally import Tally

OPENED = {"result": {"protocolVersion": "2025-11-25", "_meta": {"c100k/sessionId": "s", "c100k/eventId": "4"}}}
RESUMED = {"result": {"protocolVersion": "2025-11-25", "eventId": "5"}}
UNAVAILABLE, UNKNOWN = {"error": {"code": -32010}}, {"error": {"code": -32004}}


def say(connection: ResumableConnection, answer: dict[str, Any]) -> None:
    connection.data_received(json.dumps({"jsonrpc": "2.0", "id": 0, **answer}).encode() + b"\n")


class Bench:
    """Four sessions of the first of two targets. `told` is what became of each that lost its connection."""

    def __init__(self) -> None:
        self.told: list[Resumption] = []
        self._begun: asyncio.Queue[ResumableConnection] = asyncio.Queue()
        plan = Plan(
            schema_version=1,
            run_id="r",
            host="h",
            targets=[Target(name=name, address="127.0.0.1", port=7000) for name in "ab"],
            connections=4,
            rate_per_s=0,
            ramp_s=0,
            resume=True,
            rebalance_per_s=9,
        )
        loop, tally = asyncio.get_running_loop(), Tally()
        opener: Any = SimpleNamespace(begin=self._begin, opened=lambda _: None, done=lambda _: None)
        self.sender = SessionSender(
            loop,
            tally,
            Schedule(0, 1, 0),
            0,
            EchoCalls(20),
            1,
            increments=0,
            on_operation=lambda *_: None,
            at_boundary=lambda _: None,
        )
        assignment = Assignment(plan, 0, 1, 0, 4, "", 0)
        bounds = (1 << 20, 1 << 20)
        self.sessions = Sessions(loop, tally, opener, self.sender, assignment, 0, self.told.append, bounds=bounds)
        for number in range(4):
            connection: Any = self.sessions.connect(number, "a", 0)
            say(connection, OPENED)

    def _begin(self, connection: Any, _: object) -> None:
        if isinstance(connection, ResumableConnection):
            self._begun.put_nowait(connection)

    async def next_begun(self) -> ResumableConnection:
        return await asyncio.wait_for(self._begun.get(), 10)


def play(scene: Callable[[Bench], Awaitable[None]]) -> None:
    async def whole() -> None:
        bench = Bench()
        await scene(bench)
        bench.sessions.stop()
        bench.sender.stop(0)

    asyncio.run(whole())


def test_a_session_that_loses_its_server_on_the_move_was_away() -> None:
    async def scene(bench: Bench) -> None:
        move = await bench.next_begun()
        assert move.session.connection is not None
        move.session.connection.connection_lost(None)
        say(move, UNAVAILABLE)
        assert bench.sessions.away == 1
        say(await bench.next_begun(), RESUMED)
        assert bench.sessions.away == 0
        assert [(each.cause, each.source, each.outcome) for each in bench.told] == [("eof", "a", "resumed")]

    play(scene)


def test_a_session_that_has_moved_was_not() -> None:
    async def scene(bench: Bench) -> None:
        move = await bench.next_begun()
        assert move.session.connection is not None
        move.session.connection.connection_lost(None)
        say(move, RESUMED)
        assert bench.told == []

    play(scene)


def test_one_that_was_unknown_on_the_move_begins_anew() -> None:
    async def scene(bench: Bench) -> None:
        move = await bench.next_begun()
        say(move, UNKNOWN)
        move.connection_lost(None)
        assert move.session.connection is not None
        move.session.connection.connection_lost(None)
        again = await bench.next_begun()
        say(again, OPENED)
        again.fail("reset")
        say(await bench.next_begun(), RESUMED)
        assert [each.outcome for each in bench.told] == ["session_lost", "resumed"]

    play(scene)


def test_connections_that_end_by_themselves_need_not_be_closed() -> None:
    async def scene(bench: Bench) -> None:
        bench.sender.live[0].connection_lost(None)
        await asyncio.wait_for(close_all(bench.sender.live), 5)
        assert bench.sessions.away == 1
        bench.sender.drop_away()
        assert bench.sender.live == []

    play(scene)

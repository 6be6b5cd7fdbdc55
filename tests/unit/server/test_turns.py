"""What is put off gets its share of each turn of the loop, and no more."""

from __future__ import annotations

import asyncio
import time

import pytest

from c100k_server.turns import SHARE_S, Turns


def busy() -> None:
    """More than a share."""
    ends_at = time.monotonic() + 2 * SHARE_S
    while time.monotonic() < ends_at:
        pass


def test_others_come_between_pieces_that_take_long() -> None:
    happened: list[str] = []

    async def play() -> None:
        turns = Turns(asyncio.get_running_loop())
        for number in range(3):
            turns.later(lambda number=number: (busy(), happened.append(f"piece {number}")))
        for _ in range(6):
            happened.append("others")
            await asyncio.sleep(0)

    asyncio.run(play())
    while happened[-1] == "others":
        happened.pop()
    assert happened == ["others", "piece 0", "others", "piece 1", "others", "piece 2"]


def test_who_puts_off_again_is_last() -> None:
    happened: list[str] = []

    async def play() -> None:
        turns = Turns(asyncio.get_running_loop())

        def flood(name: str, left: int) -> None:
            happened.append(name)
            if left:
                turns.later(lambda: flood(name, left - 1))

        flood("a", 2)
        flood("b", 2)
        for _ in range(6):
            await asyncio.sleep(0)

    asyncio.run(play())
    assert happened == ["a", "b"] * 3


def test_a_piece_that_fails_takes_no_other_with_it() -> None:
    happened: list[str] = []

    async def play() -> list[dict[str, object]]:
        loop = asyncio.get_running_loop()
        failures: list[dict[str, object]] = []
        loop.set_exception_handler(lambda _, context: failures.append(context))
        turns = Turns(loop)
        turns.later(lambda: pytest.fail("on purpose"))
        turns.later(lambda: happened.append("other"))
        for _ in range(2):
            await asyncio.sleep(0)
        return failures

    assert len(asyncio.run(play())) == 1

"""A reconnect storm: many clients lose their connections at once, and all come back."""

from __future__ import annotations

import random
from collections.abc import Callable

from c100k_loadgen import plan
from c100k_loadgen.connection import Connection
from c100k_loadgen.roster import Roster


class Storm:
    """Closes a share of the connections of `roster` at the moment `at` (`time.monotonic` seconds), drawn by `seed`.

    `before` gets all of them first.
    """

    def __init__(
        self,
        roster: Roster,
        settings: plan.Storm,
        at: float,
        seed: str,
        before: Callable[[set[Connection]], None],
    ) -> None:
        self._roster = roster
        self._settings = settings
        self._at = at
        self._seed = seed
        self._before = before
        self._broken_out = False
        self._reopen_at: dict[int, float] = {}

    def advance(self, now: float) -> None:
        """Break out, when it is time to."""
        if self._broken_out or now < self._at:
            return
        self._broken_out = True
        size = len(self._roster)
        places = random.Random(self._seed).sample(range(size), round(self._settings.share * size))
        hit = [connection for place in places if (connection := self._roster.at(place)) is not None]
        # They come back evenly over the time, in the order they were drawn in.
        step_s = self._settings.within_s / max(1, len(hit))
        self._reopen_at = {connection.number: now + turn * step_s for turn, connection in enumerate(hit)}
        self._before(set(hit))
        for connection in hit:
            if self._settings.close == "rst":
                connection.reset("storm")
            else:
                connection.close("storm")

    def reopen_at(self, number: int, now: float) -> float:
        """When a connection that it has closed is to be opened again."""
        return self._reopen_at.get(number, now)

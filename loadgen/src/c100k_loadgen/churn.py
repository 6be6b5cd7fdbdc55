"""Churn: clients come and go. Connections are closed in the order of their numbers, each when it has its answers."""

from __future__ import annotations

from collections.abc import Callable

from c100k_loadgen.connection import Connection, State
from c100k_loadgen.roster import Roster
from c100k_loadgen.schedule import Schedule


class Churn:
    """Closes the connections of `roster` in turn, by `schedule`.

    One whose turn it is gets no more messages (`leave`), and is closed as soon as it is not among those that owe
    answers (`owing`). One that is not live when its turn comes is passed over for the next one.
    """

    def __init__(
        self,
        roster: Roster,
        schedule: Schedule,
        leave: Callable[[Connection], None],
        owing: Callable[[], set[Connection]],
    ) -> None:
        self._roster = roster
        self._schedule = schedule
        self._leave = leave
        self._owing = owing
        self._taken = 0
        self._place = 0
        self._leaving: dict[Connection, None] = {}  # in their order

    def advance(self, now: float) -> None:
        """Have those leave whose turn has come, and close those that owe nothing any more."""
        first, self._taken = self._taken, self._schedule.due(now)
        for _ in range(first, self._taken):
            connection = self._next()
            if connection is not None:
                self._leaving[connection] = None
                self._leave(connection)
        if not self._leaving:
            return
        owing = self._owing()
        for connection in [each for each in self._leaving if each not in owing]:
            del self._leaving[connection]
            if connection.state is State.LIVE:
                connection.close("churn")

    def finish(self) -> None:
        """Close those that are still leaving, as at the end of a run."""
        for connection in self._leaving:
            if connection.state is State.LIVE:
                connection.close()
        self._leaving.clear()

    def _next(self) -> Connection | None:
        for _ in range(len(self._roster)):
            connection = self._roster.at(self._place)
            self._place = (self._place + 1) % len(self._roster)
            if connection is not None and connection not in self._leaving:
                return connection
        return None

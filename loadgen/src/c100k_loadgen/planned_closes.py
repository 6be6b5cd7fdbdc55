"""What a plan closes on purpose in one worker, by churn and by a storm, and what becomes of it."""

from __future__ import annotations

import time
from collections.abc import Callable

from c100k_loadgen.assignment import Assignment
from c100k_loadgen.causes import Planned, planned
from c100k_loadgen.churn import Churn
from c100k_loadgen.connection import Connection
from c100k_loadgen.opener import Opener
from c100k_loadgen.recorder import Recorder
from c100k_loadgen.reopenings import Reopening, Reopenings
from c100k_loadgen.roster import Roster
from c100k_loadgen.schedule import Schedule
from c100k_loadgen.storm import Storm


class PlannedCloses:
    """The churn and the storm of one worker, and the connections that they have closed.

    Both take connections of `roster`. Those that churn closes `leave` first, until they are not among those `owing`
    answers; what is under way on those that a storm hits is given to `drop`. Times are seconds from `epoch`.
    """

    def __init__(
        self,
        assignment: Assignment,
        epoch: float,
        roster: Roster,
        opener: Opener,
        *,
        leave: Callable[[Connection], None],
        owing: Callable[[], set[Connection]],
        drop: Callable[[set[Connection], str], None],
        on_reopening: Callable[[Reopening], None],
    ) -> None:
        plan = assignment.plan
        hold_at, stop_at = plan.timetable.hold_at - epoch, plan.timetable.stop_at - epoch
        per_s, offset = plan.churn_per_s / assignment.workers, assignment.index / assignment.workers
        self._each = plan.connections_each
        self._opener = opener
        self._reopenings = Reopenings(opener, plan.timeout_s, on_reopening)
        self._churn = Churn(roster, Schedule(hold_at, stop_at, per_s, offset), leave, owing)
        self._storm: Storm | None = None
        if plan.storm is not None:
            seed = f"{plan.seed}-{plan.host}-{assignment.index}"
            self._storm = Storm(roster, plan.storm, hold_at + plan.storm.at_s, seed, lambda hit: drop(hit, "storm"))

    @property
    def connects(self) -> dict[Planned, Recorder]:
        """What opening them again took, by why they were closed."""
        return self._reopenings.connects

    def excused(self, now: float) -> int:
        """How many are not there because the plan has closed them, and are not overdue."""
        return self._reopenings.excused(now)

    def advance(self, now: float) -> None:
        """Close what is to be closed by now."""
        self._churn.advance(now)
        if self._storm is not None:
            self._storm.advance(now)

    def opening(self, connection: Connection) -> None:
        """A connection is live, and the opener does not know it yet."""
        self._reopenings.opened(connection, time.monotonic() - self._opener.began_at(connection))

    def failed(self, connection: Connection, cause: str) -> bool:
        """An attempt came to nothing. Says whether it is made again from here."""
        return self._reopenings.failed(connection, cause)

    def ended(self, connection: Connection, cause: str) -> bool:
        """A connection has ended. Says whether that was planned, so that it is opened again from here."""
        if not planned(cause):
            return False
        now = time.monotonic()
        reopen_at = now
        if cause == "storm" and self._storm is not None:
            # What belongs together comes back together: the storm has drawn the first of them.
            reopen_at = self._storm.reopen_at(connection.number - connection.number % self._each, now)
        self._reopenings.closed(connection, cause, reopen_at)
        return True

    def reopen_with(self, number: int) -> None:
        """What connection `number` belongs to is open."""
        self._reopenings.reopen_with(number)

    def finish(self) -> None:
        """The run is over: close what was still leaving, and tell of what did not come back."""
        self._churn.finish()
        self._reopenings.finish()

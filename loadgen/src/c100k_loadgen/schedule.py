"""The open-loop schedule: event `k` has its time from the start, whatever became of the events before it."""

from __future__ import annotations

import math
from typing import NamedTuple

#: Times are floats, so an event that lies on a boundary may come out a rounding error before it. Events closer to a
#: boundary than this share of their distance belong to the side after it.
_ROUNDING = 1e-6


class Schedule(NamedTuple):
    """Event `k` (from 0) at `start + (k + offset) / per_s`, as long as that lies before `end`.

    `offset` in [0, 1) lets several processes share one schedule: process `w` of `n` has every n-th event, which is
    `per_s / n` with the offset `w / n`. `limit` bounds the number of events; `None` leaves that to `end`.
    """

    start: float
    end: float
    per_s: float
    offset: float = 0.0
    limit: int | None = None

    def time_of(self, k: int) -> float:
        return self.start + (k + self.offset) / self.per_s

    def due(self, t: float) -> int:
        """How many events lie before the moment `t`."""
        if self.per_s <= 0:
            return 0
        passed = max(0, math.ceil((min(t, self.end) - self.start) * self.per_s - self.offset - _ROUNDING))
        return passed if self.limit is None else min(passed, self.limit)

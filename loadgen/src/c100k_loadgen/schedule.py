"""The open-loop schedules: event `k` has its time from the start, whatever became of the events before it."""

from __future__ import annotations

import bisect
import math
import random
from array import array
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

#: Times are floats, so an event that lies on a boundary may come out a rounding error before it. Events closer to a
#: boundary than this share of their distance belong to the side after it.
_ROUNDING = 1e-6

#: Events of the past that may still be asked for: more than any pause of the process lets come together.
_KEPT = 1_000_000


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

    def times(self, first: int, end: int) -> Sequence[float]:
        """Those of the events from `first` to before `end`, of which there are as many."""
        start, offset, per_s = self.start, self.offset, self.per_s
        return [start + (k + offset) / per_s for k in range(first, end)]

    def due(self, t: float) -> int:
        """How many events lie before the moment `t`."""
        if self.per_s <= 0:
            return 0
        passed = max(0, math.ceil((min(t, self.end) - self.start) * self.per_s - self.offset - _ROUNDING))
        return passed if self.limit is None else min(passed, self.limit)

    def holds(self, k: int) -> bool:
        """Whether event `k` lies before the end."""
        return k < self.due(self.end)

    def limited(self, limit: int) -> Schedule:
        """The same, but without the events from `limit` on."""
        return self._replace(limit=limit)


class PoissonSchedule:
    """Events at random, `per_s` on the average and independent of each other, the same for the same `seed`.

    Several processes with a part of the rate each are together what one with all of it is.
    """

    __slots__ = ("_first", "_limit", "_random", "_times", "end", "per_s")

    def __init__(self, start: float, end: float, per_s: float, seed: str) -> None:
        self.end = end
        self.per_s = per_s
        self._random = random.Random(seed)
        self._first = 0  # the event that `_times` begins with
        self._limit: int | None = None
        self._times = array("d", [start + self._random.expovariate(per_s)] if per_s > 0 else [math.inf])

    def time_of(self, k: int) -> float:
        while k - self._first >= len(self._times):
            self._times.append(self._times[-1] + self._random.expovariate(self.per_s))
        return self._times[k - self._first]

    def times(self, first: int, end: int) -> Sequence[float]:
        """Those of the events from `first` to before `end`, which are due or were."""
        return self._times[first - self._first : end - self._first]

    def due(self, t: float) -> int:
        t = min(t, self.end)
        while self._times[-1] < t:
            self._times.append(self._times[-1] + self._random.expovariate(self.per_s))
        passed = self._first + bisect.bisect_left(self._times, t)
        if passed - self._first > 2 * _KEPT:
            del self._times[: passed - self._first - _KEPT]
            self._first = passed - _KEPT
        return passed if self._limit is None else min(passed, self._limit)

    def holds(self, k: int) -> bool:
        """Whether event `k` lies before the end."""
        return self.per_s > 0 and self.time_of(k) < self.end

    def limited(self, limit: int) -> PoissonSchedule:
        self._limit = limit
        return self


class StagedSchedule:
    """Schedules one after the other, each from where the last one ends: the events of a later one come after all of
    those before it."""

    __slots__ = ("_first", "_limit", "_parts", "_starts", "end", "per_s")

    def __init__(self, parts: Sequence[tuple[float, Schedule | PoissonSchedule]]) -> None:
        """`parts` are schedules and when they start."""
        self._starts = [start for start, _ in parts]
        self._parts = [part for _, part in parts]
        self._first = [0]  # the first event of each part, of as many as were reached
        self._limit: int | None = None
        self.end = self._parts[-1].end
        self.per_s = max(part.per_s for part in self._parts)

    def time_of(self, k: int) -> float:
        index = bisect.bisect_right(self._first, k) - 1
        while not self._parts[index].holds(k - self._first[index]):
            index += 1
            if index == len(self._parts):
                return math.inf
            self._reach(index)
        return self._parts[index].time_of(k - self._first[index])

    def times(self, first: int, end: int) -> Sequence[float]:
        """Those of the events from `first` to before `end`, which are due or were."""
        found: list[float] = []
        index = bisect.bisect_right(self._first, first) - 1
        while first < end:
            begin, next_index = self._first[index], index + 1
            upto = min(end, self._first[next_index]) if next_index < len(self._first) else end
            found += self._parts[index].times(first - begin, upto - begin)
            first, index = upto, next_index
        return found

    def due(self, t: float) -> int:
        index = max(0, bisect.bisect_right(self._starts, t) - 1)
        self._reach(index)
        passed = self._first[index] + self._parts[index].due(t)
        return passed if self._limit is None else min(passed, self._limit)

    def _reach(self, index: int) -> None:
        while len(self._first) <= index:
            part = self._parts[len(self._first) - 1]
            self._first.append(self._first[-1] + part.due(part.end))

    def limited(self, limit: int) -> StagedSchedule:
        self._limit = limit
        return self


class StepSchedule(NamedTuple):
    """`events` in `steps` bursts that are equal, or differ by one, one burst each `step_s` from `start` on."""

    start: float
    step_s: float
    steps: int
    events: int

    def time_of(self, k: int) -> float:
        return self.start + k * self.steps // self.events * self.step_s

    def due(self, t: float) -> int:
        """How many events lie before the moment `t`."""
        begun = min(self.steps, max(0, math.ceil((t - self.start) / self.step_s - _ROUNDING)))
        return -(-begun * self.events // self.steps)


AnySchedule: TypeAlias = Schedule | PoissonSchedule | StagedSchedule

"""How long answers take, from reading the bytes of a request to giving its answer to the transport.

To time every answer that is given at once would cost 2 % of it, so every `SAMPLED`th time that a connection wakes the
event loop is timed as a whole, with all the answers that it leads to. What takes longer is timed each.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic_ns

from c100k_server.statistics import LATENCY_BOUNDS_US, LATENCY_BUCKETS, LATENCY_SUM_NS

# A prime, lest it be the same of several clients that take turns.
SAMPLED = 11
# Of 64-bit nanoseconds, by `int.bit_length` of the microseconds.
_LENGTHS = 64
# Shorter ones share the first bucket.
_FIRST_LENGTH = LATENCY_BOUNDS_US[0].bit_length() - 1


class Latency:
    """Transports say when bytes `arrive`, and when what they asked for is `answered`, if that is in the same turn of
    the event loop."""

    __slots__ = ("_at_once", "_figures", "arrivals", "arrived_ns", "later")

    def __init__(self, figures: memoryview) -> None:
        self._figures = figures
        self.arrivals = 0
        self.arrived_ns = 0
        self._at_once = Durations()
        self.later = Durations()

    def arrive(self) -> None:
        """What is worked on from here on has arrived now."""
        self.arrived_ns = 0 if self.arrivals % SAMPLED else monotonic_ns()
        self.arrivals += 1

    def answered(self, answers: int = 1) -> None:
        """So many answers to what has arrived are given."""
        if self.arrived_ns:
            self._at_once.observe(self.arrived_ns, answers)

    def publish(self) -> None:
        for kind, durations in (("at_once", self._at_once), ("later", self.later)):
            durations.publish(LATENCY_BUCKETS[kind], LATENCY_SUM_NS[kind], self._figures)


class Durations:
    """A histogram."""

    __slots__ = ("_by_length", "_sum_ns")

    def __init__(self) -> None:
        self._by_length = [0] * _LENGTHS
        self._sum_ns = 0

    def observe(self, since_ns: int, answers: int = 1) -> None:
        """So many answers are given now to what came then, by the monotonic clock."""
        elapsed_ns = monotonic_ns() - since_ns
        self._by_length[(elapsed_ns // 1000).bit_length()] += answers
        self._sum_ns += elapsed_ns * answers

    def publish(self, buckets: Sequence[int], sum_ns: int, figures: memoryview) -> None:
        """Into these cells."""
        counts = self._by_length
        last = _FIRST_LENGTH + len(buckets) - 1
        figures[buckets[0]] = sum(counts[: _FIRST_LENGTH + 1])
        for length in range(_FIRST_LENGTH + 1, last):
            figures[buckets[length - _FIRST_LENGTH]] = counts[length]
        figures[buckets[-1]] = sum(counts[last:])
        figures[sum_ns] = self._sum_ns

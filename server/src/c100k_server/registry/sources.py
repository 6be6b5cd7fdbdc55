"""How long look-ups take, by where their answer was found."""

from __future__ import annotations

from c100k_server.latency import Durations
from c100k_server.statistics import LOOKUP_BUCKETS, LOOKUP_SOURCES, LOOKUP_SUM_NS

# In the order of their cost.
OWN, CACHE, REDIS = range(len(LOOKUP_SOURCES))


class LookupTimes:
    """All look-ups are timed, from `time.monotonic_ns` on."""

    __slots__ = ("_durations",)

    def __init__(self) -> None:
        self._durations = [Durations() for _ in LOOKUP_SOURCES]

    def observe(self, source: int, since_ns: int) -> None:
        """One that began then ends now."""
        self._durations[source].observe(since_ns)

    def publish(self, figures: memoryview) -> None:
        for source, durations in zip(LOOKUP_SOURCES, self._durations, strict=True):
            durations.publish(LOOKUP_BUCKETS[source], LOOKUP_SUM_NS[source], figures)

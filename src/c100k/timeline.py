"""`timeline.csv`: the run by the second, over all hosts. Percentiles come from merged histograms of that second."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from hdrh.histogram import HdrHistogram

from c100k.histograms import percentiles
from c100k.samples import HostSamples

_COUNTS = ("connected", "opened", "connect_errors", "closed", "intended", "sent", "answered", "errors", "timeouts")
COLUMNS = ("t", "phase", *_COUNTS, "p50_ms", "p95_ms", "p99_ms", "max_ms")


class TimelineWriter:
    """Writes one row a second: the counts of all generators, and the percentiles given to `add`."""

    def __init__(self, path: Path, hosts: Sequence[HostSamples]) -> None:
        self._counts: dict[int, Counter[str]] = {}
        self._phases: dict[int, str] = {}
        for host in hosts:
            for t, second in host.client.items():
                self._counts.setdefault(t, Counter()).update(second.counts)
                self._phases[t] = second.phase
        self._percentiles: dict[int, tuple[float | None, ...]] = {}
        self._path = path

    def __enter__(self) -> TimelineWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._path.open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(COLUMNS)
            for t in sorted({*self._counts, *self._percentiles}):
                counts = self._counts.get(t, Counter())
                figures = self._percentiles.get(t, (None,) * 4)
                writer.writerow((t, self._phases.get(t), *(counts[name] for name in _COUNTS), *figures))

    def add(self, t: int, response: HdrHistogram) -> None:
        """The response times of the second `t`."""
        found = percentiles(response)
        self._percentiles[t] = (found.p50, found.p95, found.p99, found.max)

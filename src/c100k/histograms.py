"""HdrHistogram logs (format V2) of all workers, merged by addition. Percentiles are never averaged.

Values are microseconds from 1 us to 1 h with three significant digits; results are milliseconds.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

from c100k.record import Percentiles

_HIGHEST_US = 3_600_000_000
_DIGITS = 3


class Interval(NamedTuple):
    """One line of a log: the whole Unix second it began in, the phase its messages are of, what it measures."""

    t: int
    phase: str
    tag: str
    encoded: str


def empty() -> HdrHistogram:
    return HdrHistogram(1, _HIGHEST_US, _DIGITS)


def read_log(path: Path) -> Iterator[Interval]:
    """The intervals of `<host>-w<worker>-<phase>.hlog`, oldest first. A last line cut short by a crash is left out."""
    phase = path.stem.rpartition("-")[2]
    with path.open(encoding="ascii", errors="replace") as log:
        for line in log:
            if not line.startswith("Tag=") or not line.endswith("\n"):
                continue
            fields = line.rstrip("\n").split(",", 4)
            if len(fields) == 5:
                yield Interval(int(float(fields[1])), phase, fields[0].removeprefix("Tag="), fields[4])


def merge_by_second(logs: Iterable[Path]) -> Iterator[tuple[int, dict[tuple[str, str], HdrHistogram]]]:
    """For each second, the sum of all workers' histograms by phase and tag; holds only one second in memory."""
    ordered = heapq.merge(*(read_log(path) for path in logs), key=lambda interval: interval.t)
    for t, group in itertools.groupby(ordered, key=lambda interval: interval.t):
        merged: dict[tuple[str, str], HdrHistogram] = {}
        for interval in group:
            merged.setdefault((interval.phase, interval.tag), empty()).decode_and_add(interval.encoded)
        yield t, merged


def percentiles(histogram: HdrHistogram) -> Percentiles:
    """In milliseconds; all `None` when nothing was recorded."""
    samples = int(histogram.get_total_count())
    if not samples:
        return Percentiles(samples=0, p50=None, p95=None, p99=None, p999=None, max=None)
    values = histogram.get_percentile_to_value_dict([50, 95, 99, 99.9])
    p50, p95, p99, p999 = (values[percent] / 1000 for percent in (50, 95, 99, 99.9))
    return Percentiles(samples=samples, p50=p50, p95=p95, p99=p99, p999=p999, max=histogram.get_max_value() / 1000)

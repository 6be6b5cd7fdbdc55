"""All values of one kind over the seconds that are judged: percentiles, how sure they are, and their curve."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import msgspec
from hdrh.histogram import HdrHistogram

from c100k.confidence import Interval, percentile_bounds
from c100k.histograms import empty, percentiles
from c100k.record import Percentiles

_PERCENTS = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p999": 99.9}

#: Points of the curve for each further nine.
_POINTS_PER_NINE = 10


class Distribution:
    """The sum of the histograms that were added; each, which is one second, is also kept for itself, encoded."""

    def __init__(self) -> None:
        self._whole = empty()
        self._seconds: list[bytes] = []

    def add(self, second: HdrHistogram) -> None:
        """The values of one second."""
        if second.get_total_count():
            self._whole.add(second)
            self._seconds.append(second.encode())

    def percentiles(self) -> Percentiles:
        """In milliseconds, with an interval for each that has one."""
        found = percentiles(self._whole)
        figures = {name: getattr(found, name) for name in _PERCENTS}
        bounds = {name: self._bounds(name, figure) for name, figure in figures.items() if figure is not None}
        shares = {share for pair in bounds.values() if pair for share in pair if share < 1}
        at = self._whole.get_percentile_to_value_dict([share * 100 for share in shares])
        return msgspec.structs.replace(
            found,
            intervals={
                name: Interval(at[low * 100] / 1000, at[high * 100] / 1000 if high < 1 else None)
                for name, (low, high) in ((name, pair) for name, pair in bounds.items() if pair)
            },
        )

    def _bounds(self, name: str, figure_ms: float) -> tuple[float, float] | None:
        end = self._whole.get_counts_array_index(round(figure_ms * 1000)) + 1
        seconds = []
        for encoded in self._seconds:
            second = HdrHistogram.decode(encoded)
            seconds.append((int(second.get_total_count()), sum(second.counts[:end])))
        return percentile_bounds(_PERCENTS[name] / 100, seconds)

    def curve(self) -> list[tuple[float, float]]:
        """Percentiles and their values in milliseconds, ten for each further nine, as far as there are values."""
        samples = int(self._whole.get_total_count())
        percents: list[float] = []
        while samples and (left := 10 ** (-len(percents) / _POINTS_PER_NINE)) >= 1 / samples:
            percents.append(100 * (1 - left))
        found = self._whole.get_percentile_to_value_dict(percents)
        return [(percent, found[percent] / 1000) for percent in percents]


def write_curves(path: Path, distributions: Mapping[str, Distribution]) -> None:
    """`percentiles.csv`: kind,percentile,value_ms."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("kind", "percentile", "value_ms"))
        for kind, distribution in distributions.items():
            writer.writerows((kind, f"{percent:.6f}", value) for percent, value in distribution.curve())

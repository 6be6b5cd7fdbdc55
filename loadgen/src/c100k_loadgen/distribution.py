"""How values are distributed: percentiles and a curve, from the counts of an HdrHistogram."""

from __future__ import annotations

import msgspec
from hdrh.histogram import HdrHistogram

#: The percentiles of a distribution, by their names.
PERCENTILES = {"p50": 50.0, "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p999": 99.9, "p9999": 99.99}

#: Points of the curve of a distribution.
_CURVE = (0.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999)


class Distribution(msgspec.Struct, frozen=True):
    """Milliseconds; null when there are no samples. `curve` has pairs of a percentile and its value."""

    samples: int
    min: float | None = None
    mean: float | None = None
    p50: float | None = None
    p75: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None
    p999: float | None = None
    p9999: float | None = None
    max: float | None = None
    curve: list[tuple[float, float]] = []

    @classmethod
    def of(cls, histogram: HdrHistogram) -> Distribution:
        samples = int(histogram.get_total_count())
        if not samples:
            return cls(0)
        return cls(
            samples,
            min=histogram.get_min_value() / 1000,
            mean=histogram.get_mean_value() / 1000,
            max=histogram.get_max_value() / 1000,
            curve=[(percent, value_at(histogram, percent)) for percent in _CURVE],
            **{name: value_at(histogram, percent) for name, percent in PERCENTILES.items()},
        )


def value_at(histogram: HdrHistogram, percent: float) -> float:
    """A percentile of microseconds, in milliseconds."""
    return float(histogram.get_value_at_percentile(percent)) / 1000

"""How sure a figure is: 95% intervals that assume nothing about how the values are distributed.

They say how far the figure of *this run* could be off as a measure of the service as it was in this run. Another run
differs by more: `c100k compare` judges that from several runs a side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import msgspec

#: Of each interval, two-sided.
LEVEL = 0.95

#: Fewer seconds do not tell how much one second differs from another.
SECONDS_MIN = 10

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


class Interval(msgspec.Struct, frozen=True):
    """Where the figure lies with 95% confidence; `high` is unknown when the values do not reach far enough."""

    low: float
    high: float | None


def share_interval(count: int, samples: int) -> Interval | None:
    """Wilson's score interval of the share `count / samples`; nothing of no samples.

    Also right when nothing was counted, where the usual approximation would claim to be certain. (E. B. Wilson, 1927.)
    """
    if samples <= 0:
        return None
    share, z2 = count / samples, _Z**2
    middle = (share + z2 / (2 * samples)) / (1 + z2 / samples)
    half = _Z / (1 + z2 / samples) * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2))
    return Interval(middle - half if count else 0.0, middle + half if count < samples else 1.0)


def percentile_bounds(share: float, seconds: Sequence[tuple[int, int]]) -> tuple[float, float] | None:
    """Between which two shares of the ordered values the true percentile lies (R. S. Woodruff, 1952).

    Values of one second are alike, so they are no independent samples: each second is taken as one cluster, and the
    bounds are as wide as the seconds differ, never narrower than independent values would have it.

    Args:
        share: the percentile asked for, 0.95 for p95.
        seconds: of each second, how many values it has and how many of them are not above the percentile.

    Returns:
        The lower and the upper share; the latter is above 1 when no value is high enough. Nothing for too few seconds.
    """
    if len(seconds) < SECONDS_MIN:
        return None
    values = sum(count for count, _ in seconds)
    found = sum(below for _, below in seconds) / values
    spread = sum((below - found * count) ** 2 for count, below in seconds)
    clustered = len(seconds) / (len(seconds) - 1) * spread / values**2
    half = _Z * math.sqrt(max(clustered, share * (1 - share) / values))
    return max(0.0, share - half), share + half


def student_t(freedom: int) -> float:
    """How many standard errors either side of a mean its 95% interval reaches, with so many degrees of freedom."""
    low, high = 0.0, 1000.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if _student_share(middle, freedom) < LEVEL else (low, middle)
    return high


def _student_share(t: float, freedom: int) -> float:
    """The share of Student's distribution within `t` of 0 (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for power in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (power - 1) / power
    if not odd:
        return math.sin(angle) * total
    return 2 / math.pi * (angle + math.sin(angle) * total)

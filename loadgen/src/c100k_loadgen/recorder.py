"""Recording a value fast, in the counts of an HdrHistogram.

`HdrHistogram.record_value` takes 2.4 us, a tenth of what a whole message may cost. The index of a value is a shift and
an addition when the lowest value is 1 and the number of sub-buckets is fixed (2048 for three digits), so values are
counted in a plain list, and copied into an HdrHistogram once a second, for its encoding.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from typing import NamedTuple

from hdrh.histogram import HdrHistogram

LOWEST_US = 1
HIGHEST_US = 3_600_000_000
DIGITS = 3

#: Values below it have a count of their own each, whose index is the value.
_EXACT_BELOW_US = 2048


class Interval(NamedTuple):
    """What was recorded since the last look: how many values, the largest, and all of them as an encoded histogram."""

    samples: int
    max_us: int
    encoded: str


def count_index(value_us: int) -> int:
    """The place of a value among the counts; the same for all values that three digits cannot tell apart."""
    bucket = (value_us | 2047).bit_length() - 11
    return (bucket << 10) + (value_us >> bucket)


def combined(intervals: Sequence[Interval]) -> Interval:
    """Intervals of the same second as one: their counts are added."""
    filled = [interval for interval in intervals if interval.samples]
    if len(filled) < 2:
        return filled[0] if filled else _EMPTY
    whole = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for interval in filled:
        whole.decode_and_add(interval.encoded)
    encoded = str(whole.encode(), "ascii")
    return Interval(whole.get_total_count(), max(interval.max_us for interval in filled), encoded)


# One for all: to make one takes as long as to encode it. Between two uses its counts are zero.
_histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
COUNTS = _histogram.counts_len
_EMPTY = Interval(0, 0, str(_histogram.encode(), "ascii"))


class Recorder:
    """Counts of values from 0 us to 1 h with three significant digits; what is larger counts as 1 h."""

    __slots__ = ("_counts", "_max_us")

    def __init__(self) -> None:
        self._counts = [0] * COUNTS
        self._max_us = -1  # of the values that share a count with others

    def record(self, value_us: int) -> None:
        """Count one value, which must not be negative."""
        if value_us < _EXACT_BELOW_US:
            self._counts[value_us] += 1
            return
        if value_us > self._max_us:
            self._max_us = value_us = min(value_us, HIGHEST_US)
        # `count_index`, without the cost of calling it.
        bucket = value_us.bit_length() - 11
        self._counts[(bucket << 10) + (value_us >> bucket)] += 1

    def take(self) -> Interval:
        """What was recorded since the last call, which is then forgotten."""
        max_us = self._largest()
        if max_us < 0:
            return _EMPTY
        used = count_index(max_us) + 1
        counts = array("Q", self._counts[:used])
        cells, size = ctypes.addressof(_histogram.counts), used * counts.itemsize
        ctypes.memmove(cells, counts.buffer_info()[0], size)
        _histogram.max_value, _histogram.total_count = max_us, sum(counts)
        interval = Interval(_histogram.total_count, max_us, str(_histogram.encode(), "ascii"))
        ctypes.memset(cells, 0, size)
        self._counts[:used] = [0] * used
        self._max_us = -1
        return interval

    def _largest(self) -> int:
        """The largest value; -1 when there is none."""
        if self._max_us >= 0:
            return self._max_us
        counts = self._counts[:_EXACT_BELOW_US]
        if not any(counts):
            return -1
        return next(value_us for value_us in reversed(range(_EXACT_BELOW_US)) if counts[value_us])

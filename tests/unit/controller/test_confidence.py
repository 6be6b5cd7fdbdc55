"""How sure a figure is: held against published values, and against many runs of which the truth is known."""

from __future__ import annotations

import random

import pytest

from c100k.confidence import SECONDS_MIN, percentile_bounds, share_interval
from c100k.distribution import Distribution
from c100k.histograms import empty


@pytest.mark.parametrize(
    ("count", "samples", "low", "high"),
    # The examples of R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_of_a_share_is_the_published_one(count: int, samples: int, low: float, high: float) -> None:
    found = share_interval(count, samples)
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_a_share_of_nothing_is_unknown() -> None:
    assert share_interval(0, 0) is None


def test_seconds_that_differ_make_a_wider_interval_than_seconds_that_do_not() -> None:
    alike = percentile_bounds(0.95, [(100, 95)] * 20)
    unlike = percentile_bounds(0.95, [(100, 100), (100, 90)] * 10)
    assert alike is not None
    assert unlike is not None
    assert unlike[0] < alike[0] < 0.95 < alike[1] < unlike[1]


def test_too_few_seconds_tell_nothing() -> None:
    assert percentile_bounds(0.95, [(100, 95)] * (SECONDS_MIN - 1)) is None


def test_the_interval_holds_the_true_percentile_of_a_service_with_good_and_bad_seconds() -> None:
    """Half of the seconds are four times as slow: p95 over all is 9.21 times the mean of a good one.

    An interval that took every message as independent would miss it in most of these runs.
    """
    chance = random.Random(7)
    held, runs = 0, 60
    for _ in range(runs):
        distribution = Distribution()
        for _ in range(40):
            second, mean_us = empty(), chance.choice((1000, 4000))
            for _ in range(150):
                second.record_value(max(1, round(chance.expovariate(1 / mean_us))))
            distribution.add(second)
        interval = distribution.percentiles().intervals["p95"]
        assert interval.high is not None
        held += interval.low <= 9.21 <= interval.high
    assert held >= 0.9 * runs

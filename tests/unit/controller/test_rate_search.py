"""The search for a rate: it ends at the highest one that passes, whichever that is, and tries no more than it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c100k.rate_search import RateSearchError, Search, Trial, bracket, found

COARSE = [10_000, 20_000, 30_000, 40_000, 50_000, 60_000]
SEARCH = Search(rates=COARSE, stage_s=20, confirm_s=60, settle_s=5)


def tried(rates: list[int], limit: int) -> list[Trial]:
    return [Trial(rate, rate <= limit) for rate in rates]


def test_the_second_run_has_finer_steps_between_the_last_that_passed_and_the_first_that_did_not() -> None:
    assert SEARCH.next_rates([]) == COARSE
    assert SEARCH.next_rates(tried(COARSE, 44_100)) == [42_000, 44_000, 46_000, 48_000]


def test_when_none_failed_it_goes_on_upwards() -> None:
    assert SEARCH.next_rates(tried(COARSE, 99_999)) == [70_000, 80_000, 90_000, 100_000, 110_000, 120_000]


def test_when_none_passed_it_goes_below_the_lowest() -> None:
    assert SEARCH.next_rates(tried(COARSE, 7_000)) == [2_000, 4_000, 6_000, 8_000]
    assert found(tried([*COARSE, 2_000, 4_000], 1_000)) == 0
    assert SEARCH.confirmation(tried([*COARSE, 2_000, 4_000], 1_000)) == []


def test_a_rate_that_passed_above_one_that_failed_is_luck() -> None:
    assert bracket([Trial(10, True), Trial(20, False), Trial(30, True)]) == (10, 20)


def test_a_rate_must_pass_each_time() -> None:
    assert found([Trial(10, True), Trial(20, True), Trial(20, False)]) == 10


def test_it_is_at_its_end_when_no_rate_is_left_between() -> None:
    assert SEARCH.next_rates([Trial(10, True), Trial(11, False)]) == []


@given(limit=st.integers(0, 200_000), rates=st.lists(st.integers(1, 100_000), min_size=1, max_size=8, unique=True))
def test_each_run_narrows_the_bracket_down_with_no_more_stages_than_the_first(limit: int, rates: list[int]) -> None:
    search = Search(rates=rates, stage_s=20, confirm_s=60, settle_s=5)
    trials: list[Trial] = []
    for _ in range(4):
        low, high = bracket(trials)
        following = search.next_rates(trials)
        assert len(following) <= len(rates)
        assert following == sorted(set(following))
        assert all(rate > low and (high is None or rate < high) for rate in following)
        assert sum(stage["seconds"] for stage in search.stages(following)) <= search.longest_s
        trials += tried(following, limit)
    assert found(trials) <= limit
    assert all(trial.rate_per_s > limit for trial in trials if not trial.passed)


def test_each_rate_settles_before_it_is_judged() -> None:
    assert SEARCH.stages([10]) == [
        {"name": "settle-10", "seconds": 5, "rate_per_s": 10, "judged": False},
        {"name": "rate-10", "seconds": 20, "rate_per_s": 10, "judged": True},
    ]


def test_what_was_found_is_confirmed_twice_and_the_rate_below_it_too() -> None:
    stages = SEARCH.confirmation([*tried(COARSE, 44_100), *tried([42_000, 44_000, 46_000, 48_000], 44_100)])
    judged = [(stage["name"], stage["seconds"]) for stage in stages if stage["judged"]]
    assert judged == [
        ("confirm-44000-1", 60),
        ("confirm-44000-2", 60),
        ("confirm-42000-1", 60),
        ("confirm-42000-2", 60),
    ]
    assert sum(stage["seconds"] for stage in stages) <= SEARCH.longest_s


@pytest.mark.parametrize(("rates", "stage_s"), [([], 20), ([0], 20), ([100], 0)])
def test_a_search_of_nothing_is_refused(rates: list[int], stage_s: int) -> None:
    with pytest.raises(RateSearchError, match="c100k_search_rates"):
        Search(rates=rates, stage_s=stage_s, confirm_s=60, settle_s=5)

"""The search for the highest message rate inside the SLA: which rates to try next, and which one was found.

The connections of a run stay open while its stages go through rates, from the lowest to the highest. A first run has
coarse steps, a second one finer steps between the last rate that kept to the rules and the first that did not, and a
third one has the rate that was found, and a lower one in case it does not do, each for longer and more than once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from c100k.errors import C100KError
from c100k.record import Run
from c100k.stages import CONFIRMING

#: The scenarios of the first two runs, and of the third. What is searched is not claimed, so it decides no exit code.
SEARCH, CONFIRM = "rate-search", "rate-confirm"


class RateSearchError(C100KError):
    """There is nothing to search among."""


@dataclass(frozen=True)
class Trial:
    """A rate, and whether it kept to the rules."""

    rate_per_s: int
    passed: bool


@dataclass(frozen=True)
class Search:
    """The first staircase, and how long its stages and those that confirm take; each rate settles before it counts."""

    rates: Sequence[int]
    stage_s: int
    confirm_s: int
    settle_s: int

    def __post_init__(self) -> None:
        if not self.rates or min(self.rates) < 1 or min(self.stage_s, self.confirm_s, self.settle_s) < 1:
            raise RateSearchError("c100k_search_rates needs a rate of 1 a second or more, and all stages a second.")

    @property
    def longest_s(self) -> int:
        """The longest hold of all its runs."""
        confirming = 2 * (self.settle_s + CONFIRMING * self.confirm_s)
        return max(len(set(self.rates)) * (self.settle_s + self.stage_s), confirming)

    def next_rates(self, trials: Sequence[Trial]) -> list[int]:
        """The rates of the next run of the search, no more than those of the first; none when it is at its end."""
        rates = sorted(set(self.rates))
        if not trials:
            return rates
        low, high = bracket(trials)
        if high is None:
            step = max(upper - lower for lower, upper in zip([0, *rates], rates, strict=False))
            return [low + step * number for number in range(1, len(rates) + 1)]
        step = _round_step((high - low) / (len(rates) + 1))
        return list(range(low + step, high, step))

    def stages(self, rates: Iterable[int]) -> list[dict[str, Any]]:
        """One stage that is judged for each rate, after one in which it settles."""
        return [stage for rate in rates for stage in self._at(rate, [f"rate-{rate}"], self.stage_s)]

    def confirmation(self, trials: Sequence[Trial]) -> list[dict[str, Any]]:
        """The stages of the last run: the rate that was found, and below it the next one that passed."""
        rates = sorted({trial.rate_per_s for trial in trials if trial.rate_per_s <= found(trials)}, reverse=True)[:2]
        names = {rate: [f"confirm-{rate}-{number}" for number in range(1, CONFIRMING + 1)] for rate in rates}
        return [stage for rate in rates for stage in self._at(rate, names[rate], self.confirm_s)]

    def _at(self, rate: int, names: Iterable[str], seconds: int) -> list[dict[str, Any]]:
        settle = {"name": f"settle-{rate}", "seconds": self.settle_s, "rate_per_s": rate, "judged": False}
        return [settle, *({"name": name, "seconds": seconds, "rate_per_s": rate, "judged": True} for name in names)]


def trials_of(run: Run) -> list[Trial]:
    """What the stages of a run have shown."""
    each = run.stages.each if run.stages else []
    return [Trial(int(stage.rate_per_s), stage.passed) for stage in each if stage.judged]


def bracket(trials: Iterable[Trial]) -> tuple[int, int | None]:
    """The highest rate below which none failed, or 0, and the lowest that failed. One that passed above it is luck."""
    trials = list(trials)
    high = min((trial.rate_per_s for trial in trials if not trial.passed), default=None)
    passed = [trial.rate_per_s for trial in trials if high is None or trial.rate_per_s < high]
    return max(passed, default=0), high


def found(trials: Iterable[Trial]) -> int:
    """The highest rate that kept to the rules, as every lower one did; 0 when there is none."""
    return bracket(trials)[0]


def _round_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 and so on that is not below `least`."""
    power: int = 10 ** max(0, math.floor(math.log10(least)))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least)

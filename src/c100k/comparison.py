"""Two sides of runs, and whether the one is worse than the other by more than runs of one side differ anyway.

Each figure has one value a run. The change from the mean of one side to that of the other has a 95% interval from the
spread of the runs within the sides (Student's, with the spread pooled), for times and costs on a logarithmic scale:
their noise is in proportion. The interval is held against what is noticeable, a change that somebody would mind.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from c100k.confidence import student_t
from c100k.errors import C100KError
from c100k.record import Run, Verdict
from c100k.rules import lookup
from c100k.units import quantity

#: A change below this share is nothing that anybody would mind.
NOTICEABLE = 0.1

#: Settings that decide what was measured: runs that differ in one do not compare.
LOAD_SETTINGS = (
    "c100k_connections",
    "c100k_rate_per_s",
    "c100k_payload_bytes",
    "c100k_fan_out_every_s",
    "c100k_resume",
    "c100k_increments",
    "c100k_rebalance_per_s",
    "c100k_calls",
    "c100k_arrivals",
    "c100k_target_weights",
    "c100k_churn_per_s",
    "c100k_storm",
    "c100k_heartbeat_s",
    "c100k_think_s",
    "c100k_faults",
    "c100k_state",
)


class ComparisonError(C100KError):
    """The runs do not compare."""


class Outcome(StrEnum):
    """What became of a figure. `UNCLEAR`: the noise hides whether it changed noticeably."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Metric:
    """A figure of `run.json`. One with `noticeable` changes by a difference of so much, all others in proportion."""

    path: str
    name: str
    higher_is_better: bool = False
    noticeable: float | None = None


METRICS = (
    Metric("latency_ms.p50", "p50 latency"),
    Metric("latency_ms.p95", "p95 latency"),
    Metric("latency_ms.p99", "p99 latency"),
    Metric("fan_out.latency_ms.p95", "p95 fan-out"),
    Metric("fan_out.last_ms", "slowest fan-out"),
    Metric("messages.rate_per_s", "messages answered", higher_is_better=True),
    Metric("messages.error_rate", "error rate", noticeable=0.0001),
    Metric("connections.missing_max", "connections missing", noticeable=10),
    Metric("connections.unexplained_closes", "unexplained closes", noticeable=0),
    Metric("recovery.reconnected_s.p999", "recovery"),
    Metric("recovery.resumed_within_5s_share", "resumed within 5 s", higher_is_better=True, noticeable=0.001),
    Metric("writes.lost", "writes lost", noticeable=0),
    Metric("server.total.cpu_us_per_message", "server CPU a message"),
    Metric("server.total.rss_bytes", "server memory"),
    # What is above idle may be next to nothing, which makes no proportion.
    Metric("server.total.rss_per_connection_bytes", "server memory a connection", noticeable=256),
)


@dataclass(frozen=True)
class Judged:
    """One run: its record, and the settings it was asked with."""

    run: Run
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """How one figure changed: by a share of the baseline, or by a difference for one that has its own `noticeable`.

    `low` and `high` bound the change with 95% confidence; they are unknown where the noise is, or a value is missing.
    """

    metric: Metric
    baseline: Sequence[float | None]
    candidate: Sequence[float | None]
    change: float | None
    low: float | None
    high: float | None
    noticeable: float
    outcome: Outcome

    @property
    def in_proportion(self) -> bool:
        return self.metric.noticeable is None

    def middle(self, values: Sequence[float | None]) -> float | None:
        """What the change is counted from and to: the mean of a side, geometric in proportion; unknown if a run is."""
        known = [value for value in values if value is not None]
        if not known or len(known) < len(values):
            return None
        return statistics.geometric_mean(known) if self.in_proportion and min(known) > 0 else statistics.fmean(known)

    def amount(self, value: float | None) -> str:
        """A change in words: in proportion `+12.5%`, or `x 12` from ten times on, else the difference with its unit."""
        if value is None:
            return "unknown"
        if self.in_proportion:
            return f"{value:+.1%}" if value < 9 else f"x {1 + value:,.3g}"
        return f"{'+' if value >= 0 else '-'}{quantity(self.metric.path, abs(value))}"


@dataclass(frozen=True)
class Comparison:
    """FAIL when a figure is worse; INVALID when the noise hides one, or a run is INVALID itself; else PASS."""

    baseline: Sequence[Judged]
    candidate: Sequence[Judged]
    changes: Sequence[Change]
    verdict: Verdict
    reasons: Sequence[str]


def compare(baseline: Sequence[Judged], candidate: Sequence[Judged], noticeable: float = NOTICEABLE) -> Comparison:
    """Hold the candidate's runs against those of the baseline.

    Raises:
        ComparisonError: when a run is given twice, or runs differ in what was asked of them.
    """
    _refuse_twice([*baseline, *candidate])
    _refuse_unlike([*baseline, *candidate])
    changes = [
        change
        for metric in METRICS
        if (change := _change(metric, _values(metric, baseline), _values(metric, candidate), noticeable))
    ]
    invalid = [
        f"{judged.run.run_id} is INVALID itself, so nothing is claimed of it"
        for judged in (*baseline, *candidate)
        if judged.run.verdict is Verdict.INVALID
    ]
    worse = [_explain(change) for change in changes if change.outcome is Outcome.WORSE]
    unclear = [_explain(change) for change in changes if change.outcome is Outcome.UNCLEAR]
    if len(baseline) == len(candidate) == 1:
        unclear = ["one run a side does not tell a change from noise; give several"]
    verdict = Verdict.INVALID if invalid else Verdict.FAIL if worse else Verdict.INVALID if unclear else Verdict.PASS
    return Comparison(baseline, candidate, changes, verdict, [*invalid, *worse, *unclear])


def _refuse_twice(runs: Sequence[Judged]) -> None:
    names = [judged.run.run_id for judged in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ComparisonError(f"The run {twice} is given twice; each run may be on one side only.")


def _refuse_unlike(runs: Sequence[Judged]) -> None:
    first, *others = runs
    for other in others:
        for name, mine, theirs in _asked(first, other):
            if mine != theirs:
                raise ComparisonError(
                    f"{first.run.run_id} and {other.run.run_id} do not compare: {name} is {mine} in the one and "
                    f"{theirs} in the other."
                )


def _asked(first: Judged, other: Judged) -> list[tuple[str, Any, Any]]:
    """What both were asked; a setting that one of them does not know is no difference."""
    fields = ("scenario", "substrate", "protocol", "transport", "connection_kind")
    shared = [name for name in LOAD_SETTINGS if name in first.settings and name in other.settings]
    return [
        *((name, getattr(first.run, name), getattr(other.run, name)) for name in fields),
        *((name, first.settings[name], other.settings[name]) for name in shared),
    ]


def _values(metric: Metric, runs: Sequence[Judged]) -> list[float | None]:
    """One value a run: of a figure that it has for each fault, the worst."""
    return [_worst(metric, lookup(msgspec.structs.asdict(judged.run), metric.path)) for judged in runs]


def _worst(metric: Metric, found: Sequence[float | None]) -> float | None:
    known = [value for value in found if value is not None]
    if len(known) < len(found):
        return None
    return min(known) if metric.higher_is_better else max(known)


def _change(
    metric: Metric, baseline: Sequence[float | None], candidate: Sequence[float | None], noticeable: float
) -> Change | None:
    """Nothing for a figure that no run has."""
    enough = noticeable if metric.noticeable is None else metric.noticeable
    before = [value for value in baseline if value is not None]
    after = [value for value in candidate if value is not None]
    if not before and not after:
        return None
    if len(before) < len(baseline) or len(after) < len(candidate):
        return Change(metric, baseline, candidate, None, None, None, enough, Outcome.UNCLEAR)
    change: float | None
    if metric.noticeable is not None or len({*before, *after}) == 1:
        change, low, high = _estimate(before, after)
    elif min(*before, *after) > 0:
        estimate = _estimate([math.log(value) for value in before], [math.log(value) for value in after])
        change, low, high = (None if value is None else math.expm1(value) for value in estimate)
    else:
        change, low, high = None, None, None
    return Change(metric, baseline, candidate, change, low, high, enough, _outcome(metric, change, low, high, enough))


def _estimate(before: Sequence[float], after: Sequence[float]) -> tuple[float, float | None, float | None]:
    """The difference of the means, and its interval; without one when a run a side does not tell the noise."""
    difference = statistics.fmean(after) - statistics.fmean(before)
    freedom = len(before) + len(after) - 2
    if not freedom:
        return difference, None, None
    squares = sum((value - statistics.fmean(side)) ** 2 for side in (before, after) for value in side)
    error = math.sqrt(squares / freedom * (1 / len(before) + 1 / len(after)))
    half = student_t(freedom) * error
    return difference, difference - half, difference + half


def _outcome(metric: Metric, change: float | None, low: float | None, high: float | None, noticeable: float) -> Outcome:
    """Worse (or better) when the change is noticeable and the noise does not explain it."""
    if change is None or low is None or high is None:
        return Outcome.UNCLEAR
    up, down = (Outcome.BETTER, Outcome.WORSE) if metric.higher_is_better else (Outcome.WORSE, Outcome.BETTER)
    if change > noticeable and low > 0:
        return up
    if change < -noticeable and high < 0:
        return down
    return Outcome.SAME if -noticeable <= low and high <= noticeable else Outcome.UNCLEAR


def _explain(change: Change) -> str:
    name = change.metric.name
    if change.outcome is Outcome.WORSE:
        return f"{name}: {change.amount(change.change)}, beyond what noise explains"
    if None in change.baseline or None in change.candidate:
        return f"{name}: some of the runs have not measured it"
    if change.change is None:
        return f"{name}: it is 0 in some of the runs, so there is no proportion"
    return (
        f"{name}: anything from {change.amount(change.low)} to {change.amount(change.high)} is possible; "
        f"give more runs, or a larger --noticeable"
    )

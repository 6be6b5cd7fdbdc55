"""A gate: rules held against a run that was judged, and against what Prometheus knows.

Unlike a verdict it tells a figure that is missing from one that is too high: the former is INVALID, as is a run whose
own verdict is INVALID, a Prometheus that does not answer, and a gate without a rule. Nothing is claimed then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from c100k import prometheus, report, rules
from c100k.record import Rule, Run, Verdict
from c100k.rules import RuleSpec
from c100k.run_directory import RunDirectory

#: What the rules are called in messages about them.
_VARIABLE = "rules"


@dataclass(frozen=True)
class Prometheus:
    """Where to ask; `at` is the moment in Unix seconds, `None` the end of the run's hold, or now without a run."""

    url: str
    at: float | None = None
    answer_limit_s: float = prometheus.ANSWER_LIMIT_S


@dataclass(frozen=True)
class Gated:
    """The outcome, why it is not PASS, and all rules that concerned the run."""

    verdict: Verdict
    reasons: list[str]
    rules: list[Rule]


def judge(specs: Sequence[Mapping[str, Any]], run_directory: Path | None, source: Prometheus | None) -> Gated:
    """Hold `specs` against the run in `run_directory`, those with `promql` against `source`.

    Raises:
        RuleError: a rule is malformed.
        RunDirectoryError: when this is no run that was judged.
    """
    run = None if run_directory is None else report.read(run_directory)
    settings = {} if run_directory is None else RunDirectory(run_directory).read_plan()["settings"]
    figures = {} if run is None else msgspec.structs.asdict(run)
    invalid = (
        [f"the run is INVALID: {reason}" for reason in run.reasons] if run and run.verdict is Verdict.INVALID else []
    )
    failed: list[str] = []
    judged: list[Rule] = []
    for spec in rules.parse(specs, _VARIABLE, settings, promql=True):
        if not spec.concerns("" if run is None else run.scenario, settings):
            continue
        rule, unknown = _ask(spec, figures, run, source) if spec.promql else (_look_up(spec, figures), "")
        judged.append(rule)
        if unknown or rule.actual is None or rule.limit is None:
            invalid.append(unknown or _missing(spec, rule))
        elif not rule.passed:
            failed.append(rules.explain(rule))
    if not judged:
        invalid.append("no rule concerns it, so nothing was judged")
    verdict = Verdict.INVALID if invalid else Verdict.FAIL if failed else Verdict.PASS
    return Gated(verdict, [*invalid, *failed], judged)


def _look_up(spec: RuleSpec, figures: Mapping[str, Any]) -> Rule:
    if not figures:
        return rules.apply(spec, [None], figures, 0)
    return rules.evaluate([spec], figures, rules.samples_behind(figures))[0]


def _ask(spec: RuleSpec, figures: Mapping[str, Any], run: Run | None, source: Prometheus | None) -> tuple[Rule, str]:
    """The rule held against each series that its expression gives, and why there is none."""
    unknown, found = "", []
    if source is None:
        unknown = f"{spec.name}: there is no Prometheus to ask"
    else:
        at = source.at if source.at is not None or run is None else _end_of_hold(run)
        try:
            found = prometheus.query(source.url, spec.promql, at, source.answer_limit_s)
        except prometheus.PrometheusError as error:
            unknown = f"{spec.name}: {error}"
    actuals = [None if math.isnan(sample.value) else sample.value for sample in found]
    return rules.apply(spec, actuals or [None], figures, len(found)), unknown


def _end_of_hold(run: Run) -> float | None:
    return next((phase.ended_at for phase in run.phases if phase.name == "hold"), run.ended_at)


def _missing(spec: RuleSpec, rule: Rule) -> str:
    return rules.explain(rule) if rule.actual is None else f"{rule.name}: its limit {spec.limit} was not measured"

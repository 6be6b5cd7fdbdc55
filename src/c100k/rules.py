"""SLA and validity rules as data: `{name, metric, op, limit}`, evaluated over the figures of one run.

`metric` is a path into `run.json` (`latency_ms.p95`); `limit` is a number, or such a path (`connections.target`). A
figure that was not measured breaks its rule. A figure of a list, such as `recovery.sessions_lost`, is that of
each of its entries: all must hold, and the worst is shown.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import UnionType
from typing import Any

import msgspec

from c100k.confidence import Interval
from c100k.errors import C100KError
from c100k.record import Messages, Percentiles, Rule, Run
from c100k.recovery import Recovery
from c100k.state_loss import StateLoss

#: Figures that a run has once for each fault.
_PER_FAULT = ("recovery.", "state_loss.")

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}


class RuleError(C100KError):
    """A rule is malformed or names a figure that no run has."""


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One rule as a user writes it; `scenarios` limits it to some, by default it holds for all.

    It is about one figure: `metric` of a run, or what `promql` gives. `faults` limits it to runs with a fault of one of
    these kinds. `when` names a setting of the run: where that is 0 there is nothing to judge.
    """

    name: str
    op: str
    limit: float | str
    metric: str = ""
    promql: str = ""
    phase: str = "hold"
    scenarios: list[str] = []
    when: str = ""
    faults: list[str] = []

    def concerns(self, scenario: str, settings: Mapping[str, Any]) -> bool:
        """Whether a run of `scenario` with these settings is to be judged by it."""
        return self.is_about(scenario, settings) and bool(not self.when or settings.get(self.when))

    def is_about(self, scenario: str, settings: Mapping[str, Any]) -> bool:
        """Whether it is meant for runs of `scenario` with such faults."""
        kinds = {fault["kind"] for fault in settings.get("c100k_faults", [])}
        return (not self.scenarios or scenario in self.scenarios) and bool(not self.faults or kinds & set(self.faults))


def parse(
    specs: Sequence[Mapping[str, Any]], variable: str, settings: Mapping[str, Any], *, promql: bool = False
) -> list[RuleSpec]:
    """The rules of the variable `variable`, for a run with these settings; `promql` is whether they may ask Prometheus.

    Raises:
        RuleError: with the rule and what is wrong with it.
    """
    parsed = []
    for number, spec in enumerate(specs, 1):
        where = f"Rule {number} of {variable}"
        try:
            rule = msgspec.convert(spec, RuleSpec, strict=False)
        except msgspec.ValidationError as error:
            raise RuleError(f"{where} is malformed: {error}.") from None
        if rule.op not in _OPERATORS:
            raise RuleError(f"{where} ({rule.name}) has the operator {rule.op!r}; use one of {' '.join(_OPERATORS)}.")
        if rule.when and rule.when not in settings:
            close = difflib.get_close_matches(rule.when, settings, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(settings) or 'none without a run'}."
            raise RuleError(f"{where} ({rule.name}) depends on {rule.when!r}, which is no setting of a run; {hint}")
        if rule.promql and not promql:
            raise RuleError(f"{where} ({rule.name}) asks Prometheus, which a verdict never does; give it to sla_gate.")
        if bool(rule.metric) == bool(rule.promql):
            raise RuleError(f"{where} ({rule.name}) needs a figure: either a metric or, where it may ask, promql.")
        for path in (rule.limit,) if rule.promql else (rule.metric, rule.limit):
            if isinstance(path, str) and path not in METRICS:
                close = difflib.get_close_matches(path, METRICS, 1)
                hint = f"did you mean {close[0]}?" if close else "see docs/verdict.md for the list."
                raise RuleError(f"{where} ({rule.name}) names the figure {path!r}, which no run has; {hint}")
        if isinstance(rule.limit, str) and rule.limit.startswith(_PER_FAULT):
            raise RuleError(f"{where} ({rule.name}) has the limit {rule.limit!r}, which each fault has of its own.")
        parsed.append(rule)
    return parsed


def evaluate(rules: Iterable[RuleSpec], figures: Mapping[str, Any], samples: Callable[[str], int]) -> list[Rule]:
    """Hold the rules against `figures` (the sections of a run, by name)."""
    return [
        apply(rule, lookup(figures, rule.metric), figures, samples(rule.metric), _interval(figures, rule.metric))
        for rule in rules
    ]


def apply(
    rule: RuleSpec,
    actuals: Sequence[float | None],
    figures: Mapping[str, Any],
    samples: int,
    interval: Interval | None = None,
) -> Rule:
    """Apply one rule to `actuals`: all must keep it, and the worst is shown. Its limit may be one of `figures`."""
    limit = lookup(figures, rule.limit)[0] if isinstance(rule.limit, str) else rule.limit
    broken = [actual for actual in actuals if not _holds(rule.op, actual, limit)]
    worst = _worst(rule.op, broken or actuals)
    metric = rule.metric or rule.promql
    return Rule(rule.name, metric, rule.phase, rule.op, limit, worst, samples, not broken, interval)


def _holds(op: str, actual: float | None, limit: float | None) -> bool:
    return actual is not None and limit is not None and _OPERATORS[op](actual, limit)


def _interval(figures: Mapping[str, Any], path: str) -> Interval | None:
    """How sure the figure at `path` is, where it is estimated from samples and not counted."""
    *sections, name = path.split(".")
    owner: Any = figures.get(sections[0])
    for key in sections[1:]:
        owner = getattr(owner, key, None)
    if isinstance(owner, Percentiles):
        return owner.intervals.get(name)
    return owner.error_rate_interval if isinstance(owner, Messages) and name == "error_rate" else None


def _worst(op: str, figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    if len(known) < len(figures):
        return None
    return min(known) if op in (">", ">=") else max(known)


def lookup(figures: Mapping[str, Any], path: str) -> list[float | None]:
    """The figure at `path`, `None` when it was not measured; where a list is on the way, that of each entry."""
    found: list[Any] = [figures]
    for key in path.split("."):
        found = [value.get(key) if isinstance(value, Mapping) else getattr(value, key, None) for value in found]
        found = [entry for value in found for entry in (value if isinstance(value, list) else [value])]
    return [None if value is None else float(value) for value in found] or [None]


def explain(rule: Rule) -> str:
    """`p95 latency: 131.1 is not < 100` for a rule that was broken."""
    if rule.actual is None:
        return f"{rule.name}: {rule.metric} was not measured"
    return f"{rule.name}: {rule.metric} = {format_number(rule.actual)} is not {rule.op} {format_number(rule.limit)}"


def format_number(value: float | None, digits: int | None = None) -> str:
    """`1,234`, `0.0012`, or `unknown`; with `digits` decimals when given."""
    if value is None:
        return "unknown"
    if digits is not None:
        return f"{value:,.{digits}f}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def _numeric_paths(struct: type[msgspec.Struct], prefix: str = "") -> Iterable[str]:
    for field in msgspec.structs.fields(struct):
        kinds = field.type.__args__ if isinstance(field.type, UnionType) else (field.type,)
        if isinstance(kinds[0], type) and issubclass(kinds[0], msgspec.Struct):
            yield from _numeric_paths(kinds[0], f"{prefix}{field.name}.")
        elif field.type in (int, float, bool, int | None, float | None):
            yield prefix + field.name


#: Every figure that a rule may name.
METRICS = (
    *(path for path in _numeric_paths(Run) if "." in path),
    *_numeric_paths(Recovery, "recovery."),
    *_numeric_paths(StateLoss, "state_loss."),
)


def samples_behind(figures: Mapping[str, Any]) -> Callable[[str], int]:
    """The samples behind a figure: recorded values for percentiles, messages for rates, else seconds held."""

    def count(path: str) -> int:
        section = path.split(".")[0]
        owner: Any = figures.get(section)
        for key in path.split(".")[1:-1]:
            owner = getattr(owner, key, None)
        if isinstance(owner, Percentiles):
            return owner.samples
        if section == "messages":
            return int(figures["messages"].intended)
        if section == "recovery":
            return sum(recovery.sessions_affected for recovery in figures["recovery"])
        if section == "state_loss":
            return sum(loss.refused for loss in figures["state_loss"])
        if section == "writes":
            return int(figures["writes"].attempts) if figures["writes"] else 0
        if section == "registry":
            return int(figures["registry"].lookups) if figures["registry"] else 0
        if section in ("churn", "storm"):
            return int(figures[section].closed) if figures[section] else 0
        if section == "heartbeats":
            return int(figures["heartbeats"].sent) if figures["heartbeats"] else 0
        if section == "fan_out":
            return int(figures["fan_out"].listeners) if figures["fan_out"] else 0
        return int(figures["ledger"].seconds)

    return count

"""Rules that were judged, in words: what was found, what was allowed, and how sure it is."""

from __future__ import annotations

from dataclasses import dataclass

from c100k.confidence import Interval
from c100k.record import Rule
from c100k.units import quantity

#: What a rule's samples are, by the section of its figure; those of all others are seconds of the hold.
_SAMPLES = {
    "latency_ms": "messages",
    "service_ms": "messages",
    "away_ms": "messages",
    "messages": "messages",
    "loadgen.slip_ms": "messages",
    "fan_out": "notifications",
    "churn": "connections",
    "storm": "connections",
    "heartbeats": "pings",
    "recovery": "sessions",
    "state_loss": "refusals",
    "stateless_ms": "messages",
    "writes": "writes",
}

_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}


@dataclass(frozen=True)
class Judged:
    """A rule in words, how much of its limit is used, and whether the limit lies within the figure's interval."""

    rule: Rule
    actual: str
    limit: str
    used: float | None
    samples: str
    interval: str
    close: bool


def in_words(rule: Rule) -> Judged:
    """The rule with units."""
    used = None
    if rule.actual is not None and rule.limit and rule.op in ("<", "<="):
        used = min(1.0, rule.actual / rule.limit)
    bounds = rule.interval
    close = (
        bounds is not None
        and rule.limit is not None
        and bounds.low <= rule.limit
        and (bounds.high is None or rule.limit <= bounds.high)
    )
    owner = rule.metric.rpartition(".")[0]
    unit = next((unit for section, unit in _SAMPLES.items() if f"{owner}.".startswith(f"{section}.")), "seconds")
    return Judged(
        rule,
        actual=quantity(rule.metric, rule.actual),
        limit=f"{_SIGNS.get(rule.op, rule.op)} {quantity(rule.metric, rule.limit)}",
        used=used,
        samples=f"{rule.samples:,} {unit}",
        interval=_interval(rule.metric, bounds),
        close=close,
    )


def _interval(metric: str, bounds: Interval | None) -> str:
    if bounds is None:
        return "counted"
    return f"{quantity(metric, bounds.low)} to {quantity(metric, bounds.high)}"

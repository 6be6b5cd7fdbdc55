"""What a run must keep to pass: `p95<100ms`, `errors<0.1%`, `rate>=495`, `connections==100%`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence

import msgspec

from c100k_loadgen.distribution import PERCENTILES
from c100k_loadgen.errors import ThresholdError
from c100k_loadgen.results import Results

#: What is judged when nothing is asked for.
DEFAULT = ("errors<1%", "connections>=99%")

PASS, FAIL, INVALID = "PASS", "FAIL", "INVALID"
EXIT_CODES = {PASS: 0, FAIL: 1, INVALID: 3}

_GRAMMAR = re.compile(r"\s*([a-z0-9.]+)\s*(<=|>=|==|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z/%]*)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_LATENCIES = (*PERCENTILES, "min", "mean", "max")
_ALIASES = {"p99.9": "p999", "p99.99": "p9999"}
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Threshold(msgspec.Struct, frozen=True):
    """`metric` `op` `limit`; times in ms, shares of `errors` and `connections` in percent (`unit` %) or as counts."""

    text: str
    metric: str
    op: str
    limit: float
    unit: str


class Judged(msgspec.Struct, frozen=True):
    """A threshold and what was measured; a figure that there is none of breaks its threshold."""

    threshold: str
    metric: str
    actual: float | None
    unit: str
    passed: bool


class Judgement(msgspec.Struct, frozen=True):
    """The verdict, and why it is no PASS."""

    verdict: str
    thresholds: list[Judged]
    reasons: list[str]

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]


def parse(text: str) -> Threshold:
    """Read a threshold.

    Raises:
        ThresholdError: it is none.
    """
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        raise ThresholdError(f"{text!r} is no threshold; write one like p95<100ms, errors<0.1% or rate>=500.")
    metric, op, number, unit = match.groups()
    metric = _ALIASES.get(metric, metric)
    if metric in _LATENCIES:
        if unit not in _MILLISECONDS:
            raise ThresholdError(f"{text!r} needs a unit of time: us, ms or s.")
        return Threshold(text, metric, op, float(number) * _MILLISECONDS[unit], "ms")
    if metric in ("errors", "connections"):
        if unit not in ("%", ""):
            raise ThresholdError(f"{text!r}: {metric} are a share, such as 1%, or a count.")
        return Threshold(text, metric, op, float(number), unit)
    if metric == "rate":
        if unit not in ("", "/s"):
            raise ThresholdError(f"{text!r}: the rate is in messages a second, written without a unit or as /s.")
        return Threshold(text, metric, op, float(number), "/s")
    names = ", ".join((*_LATENCIES, "errors", "connections", "rate"))
    raise ThresholdError(f"{text!r}: {metric} is not measured; these are: {names}.")


def judge(results: Results, thresholds: Sequence[Threshold]) -> Judgement:
    """The verdict on a run: INVALID when the generator was at fault, whatever the service did."""
    judged = [_judged(results, threshold) for threshold in thresholds]
    broken = [f"{each.threshold} is broken: {describe(each)}" for each in judged if not each.passed]
    verdict = INVALID if results.doubts else FAIL if broken else PASS
    return Judgement(verdict, judged, [*results.doubts, *broken])


def describe(judged: Judged) -> str:
    """What was measured, for people."""
    if judged.actual is None:
        return f"no {judged.metric} was measured"
    number = f"{judged.actual:,.3f}".rstrip("0").rstrip(".")
    return f"{judged.metric} {number}{'' if judged.unit in ('%', '/s') else ' '}{judged.unit}".rstrip()


def _judged(results: Results, threshold: Threshold) -> Judged:
    actual = _actual(results, threshold)
    passed = actual is not None and _OPERATORS[threshold.op](actual, threshold.limit)
    return Judged(threshold.text, threshold.metric, actual, threshold.unit, passed)


def _actual(results: Results, threshold: Threshold) -> float | None:
    messages, connections = results.messages, results.connections
    match threshold.metric, threshold.unit:
        case "errors", "%":
            return messages.error_share * 100
        case "errors", _:
            return messages.errors
        case "connections", "%":
            return connections.held_min / connections.target * 100
        case "connections", _:
            return connections.held_min
        case "rate", _:
            return messages.rate_per_s
    value: float | None = getattr(results.response_ms, threshold.metric)
    return value

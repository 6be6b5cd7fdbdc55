"""The results of a run as samples of Prometheus, all at the moment at which the run ended.

- `c100k_run_figure{figure="latency_ms.p95"}`: each figure of `run.json`, by its path as rules name it. What a run has
  several times, such as recoveries, has the label `entry`, from 1 on.
- `c100k_run_rule_passed{rule="p95 latency", kind="sla"}` is 1 or 0; `c100k_run_rule_actual` and `c100k_run_rule_limit`
  are what was held against each other.
- `c100k_run_verdict{verdict="PASS"}` is 1 for the verdict of the run and 0 for the others.

All have the labels `run` and `scenario`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from c100k.record import Run, Verdict
from c100k.remote_write import Point

#: What all names begin with.
PREFIX = "c100k_run_"

#: What holds no figures of the run: what it ran on, how it was judged, and the nodes of the state cluster.
_NO_FIGURES = frozenset({"schema_version", "hosts", "versions", "phases", "state", "rules", "validity"})

Labels = Mapping[str, str]


def of_run(run: Run) -> list[Point]:
    """All results of a run."""
    own = {"run": run.run_id, "scenario": run.scenario}
    at_ms = ended_at_ms(run)
    found = [*_figures(run), *_rules(run), *_verdict(run)]
    return [Point(PREFIX + name, {**own, **labels}, value, at_ms) for name, labels, value in found]


def ended_at_ms(run: Run) -> int:
    """When the run ended, as far as that is known, in Unix milliseconds."""
    return round(1000 * max([run.started_at, run.ended_at or 0, *(phase.ended_at for phase in run.phases)]))


def _figures(run: Run) -> Iterator[tuple[str, Labels, float]]:
    for path, entry, value in _numbers((), (), msgspec.to_builtins(run)):
        yield "figure", {"figure": ".".join(path), **({"entry": ".".join(entry)} if entry else {})}, value


def _numbers(
    path: tuple[str, ...], entry: tuple[str, ...], value: object
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], float]]:
    """Each number below a value, with the path to it, and which entries of lists are on it."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key not in _NO_FIGURES:
                yield from _numbers((*path, key), entry, below)
    elif isinstance(value, list):
        for number, below in enumerate(value, 1):
            yield from _numbers(path, (*entry, str(number)), below)
    elif isinstance(value, int | float):
        yield path, entry, float(value)


def _rules(run: Run) -> Iterator[tuple[str, Labels, float]]:
    for kind, rules in (("sla", run.rules), ("validity", run.validity)):
        for rule in rules:
            labels = {"rule": rule.name, "kind": kind, "metric": rule.metric, "op": rule.op}
            yield "rule_passed", labels, float(rule.passed)
            for name, value in (("rule_actual", rule.actual), ("rule_limit", rule.limit)):
                if value is not None:
                    yield name, labels, value


def _verdict(run: Run) -> Iterator[tuple[str, Labels, float]]:
    for verdict in Verdict:
        yield "verdict", {"verdict": str(verdict)}, float(verdict is run.verdict)

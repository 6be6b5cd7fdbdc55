"""The charts of one run: connections, latency and messages by the second, and the percentile curves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from c100k import chart
from c100k.raw_csv import complete_rows
from c100k.record import Run
from c100k.recovery import SOON_S
from c100k.run_directory import RunDirectory
from c100k.units import milliseconds

#: Kinds of `percentiles.csv` that are drawn, and their titles.
CURVES = {"response": "response", "service": "service", "slip": "lateness of the generator", "fan_out": "fan-out"}


@dataclass(frozen=True)
class Charts:
    """Drawings; one of which nothing is known is `None`."""

    connections: Markup | None
    latency: Markup | None
    messages: Markup | None
    curve: Markup | None
    curves: Mapping[str, str]
    rates: Markup | None


def draw(run: Run, directory: RunDirectory) -> Charts:
    """What the derived files of the run hold, over time and over percentiles."""
    curve, kinds = _curve(directory)
    timeline = list(complete_rows(directory.timeline))
    ledger = list(complete_rows(directory.ledger))
    seconds = [int(row["t"]) for row in [*timeline, *ledger]]
    x = chart.clock(start_of(run) or min(seconds), max(seconds) + 1) if seconds else None
    return Charts(
        connections=_connections(run, x, ledger) if x and ledger else None,
        latency=_latency(run, x, timeline) if x and any(row["p95_ms"] for row in timeline) else None,
        messages=_messages(run, x, timeline) if x and run.messages.intended else None,
        curve=curve,
        curves=kinds,
        rates=_rates(run, directory),
    )


def start_of(run: Run) -> float | None:
    """When the ramp began, from which the time of the charts counts."""
    return run.phases[0].started_at if run.phases else None


def _spans(run: Run) -> list[chart.Span]:
    """The phases, and within them what is not judged after each fault."""
    phases = [chart.Span(phase.started_at, phase.ended_at, phase.name, phase.name) for phase in run.phases]
    recoveries = [chart.Span(each.injected_at, each.injected_at + SOON_S, "recovery") for each in run.recovery]
    returns = [
        chart.Span(each.healed_at, each.up_at + SOON_S, "recovery")
        for each in run.state_loss
        if each.healed_at is not None and each.up_at is not None
    ]
    return [*phases, *recoveries, *returns]


def _marks(run: Run) -> list[chart.Mark]:
    moments = [*(each.injected_at for each in run.recovery), *(each.began_at for each in run.state_loss)]
    return [chart.Mark(at, str(number)) for number, at in enumerate(moments, 1)]


def _connections(run: Run, x: chart.Axis, ledger: Iterable[Mapping[str, str]]) -> Markup:
    """The three counts over all hosts; a second in which a host did not give one has a gap in its line."""
    counts: dict[str, dict[int, list[str]]] = {name: defaultdict(list) for name in ("kernel", "server", "client")}
    for row in ledger:
        for name, by_second in counts.items():
            by_second[int(row["t"])].append(row[name])
    lines = []
    for name, by_second in counts.items():
        each = 2 if name == "kernel" else 1  # it counts both ends
        points = [
            (float(t), sum(map(int, cells)) / each if all(cells) else None) for t, cells in sorted(by_second.items())
        ]
        lines.append(chart.Line(name, points, worst=min))
    most = max((y for line in lines for _, y in line.points if y is not None), default=0)
    target = run.connections.target
    return chart.Chart(
        title=f"Connections over time as client, server and kernel count them; the target is {target:,}.",
        x=x,
        y=chart.linear(0, max(most, target, 1) * 1.08, lambda value: f"{value:,.0f}"),
        lines=lines,
        spans=_spans(run),
        marks=_marks(run),
        levels=[chart.Level(target, f"target {target:,}")],
    ).svg


def _latency(run: Run, x: chart.Axis, timeline: Sequence[Mapping[str, str]]) -> Markup:
    columns = {"max": "max_ms", "p99": "p99_ms", "p95": "p95_ms", "p50": "p50_ms"}
    lines = [
        chart.Line(css, [(float(row["t"]), float(row[column]) if row[column] else None) for row in timeline])
        for css, column in columns.items()
    ]
    limits = [rule.limit for rule in run.rules if rule.metric == "latency_ms.p95" and rule.limit]
    values = [y for line in lines for _, y in line.points if y] + limits
    return chart.Chart(
        title="Response time over time: median, 95th and 99th percentile and maximum of each second.",
        x=x,
        y=chart.logarithmic(min(values), max(values), milliseconds),
        lines=lines,
        spans=_spans(run),
        marks=_marks(run),
        levels=[chart.Level(limit, f"p95 limit {milliseconds(limit)}") for limit in limits],
    ).svg


def _messages(run: Run, x: chart.Axis, timeline: Sequence[Mapping[str, str]]) -> Markup:
    def line(css: str, *columns: str) -> chart.Line:
        return chart.Line(css, [(float(row["t"]), float(sum(int(row[name]) for name in columns))) for row in timeline])

    lines = [line("intended", "intended"), line("answered", "answered"), line("errors", "errors", "timeouts")]
    most = max(y for drawn in lines for _, y in drawn.points if y is not None)
    return chart.Chart(
        title="Messages intended, answered and failed in each second.",
        x=x,
        y=chart.linear(0, max(most, 1) * 1.08, lambda value: f"{value:,.0f}"),
        lines=lines,
        spans=_spans(run),
        marks=_marks(run),
    ).svg


def _rates(run: Run, directory: RunDirectory) -> Markup | None:
    """Response times by the rate that was asked for; of a rate that was tried again, the worst."""
    worst: dict[str, dict[float, float]] = {name: {} for name in ("p99", "p95", "p50")}
    for row in complete_rows(directory.rates):
        rate = float(row["rate_per_s"])
        for name, by_rate in worst.items():
            if row[f"{name}_ms"]:
                by_rate[rate] = max(by_rate.get(rate, 0.0), float(row[f"{name}_ms"]))
    if len(worst["p95"]) < 2:
        return None
    stages = run.stages.each if run.stages else []
    limits = {rule.limit for stage in stages for rule in stage.rules if rule.metric == "latency_ms.p95" and rule.limit}
    values = [y for by_rate in worst.values() for y in by_rate.values()]
    return chart.Chart(
        title="Response time by the rate of messages: median, 95th and 99th percentile of each rate that was tried.",
        x=chart.linear(0, max(worst["p95"]) * 1.02, lambda value: f"{value:,.0f}/s"),
        y=chart.logarithmic(min([*values, *limits]), max([*values, *limits]), milliseconds),
        lines=[chart.Line(name, sorted(by_rate.items())) for name, by_rate in worst.items()],
        levels=[chart.Level(limit, f"p95 limit {milliseconds(limit)}") for limit in sorted(limits)],
    ).svg


def _curve(directory: RunDirectory) -> tuple[Markup | None, Mapping[str, str]]:
    """The curves that the run has values for, and their titles."""
    points: dict[str, list[chart.Point]] = {}
    for row in complete_rows(directory.percentiles):
        # The smallest value of all would take half of the height, and says nothing.
        if row["kind"] in CURVES and float(row["percentile"]) > 0:
            points.setdefault(row["kind"], []).append((float(row["percentile"]), float(row["value_ms"])))
    values = [y for line in points.values() for _, y in line if y]
    if not values:
        return None, {}
    drawn = chart.Chart(
        title="Percentile curves: the share of values on the horizontal axis is not above the value on the vertical.",
        x=chart.nines(max(line[-1][0] for line in points.values())),
        y=chart.logarithmic(min(values), max(values), milliseconds),
        lines=[chart.Line(kind, line) for kind, line in points.items()],
    )
    return drawn.svg, {kind: CURVES[kind] for kind in points}

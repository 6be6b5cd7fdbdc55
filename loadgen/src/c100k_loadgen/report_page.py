"""A run as one HTML file that needs nothing else: figures, verdict, and charts drawn as SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from c100k_loadgen.causes import planned
from c100k_loadgen.distribution import Distribution
from c100k_loadgen.results import Results
from c100k_loadgen.stage_results import StageResults
from c100k_loadgen.summary import label, milliseconds
from c100k_loadgen.thresholds import Judgement, describe

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 760, 232, 64, 24, 24
_SHOWN = ("min", "mean", "p50", "p75", "p90", "p95", "p99", "p999", "p9999", "max")
_COLOURS = ("#2a78d6", "#d97706", "#b3261e")
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left; font-weight: normal }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.verdict { display: inline-block; padding: .1rem .7rem; border-radius: .3rem; color: #fff }
.PASS { background: #1b7a3d } .FAIL { background: #b3261e } .INVALID { background: #8a6100 }
svg { width: 100%; height: auto } text { font-size: 11px; fill: currentColor }
.axis { stroke: currentColor; stroke-opacity: .25 } .line { fill: none; stroke-width: 1.6 }
"""


class _Line(NamedTuple):
    name: str
    points: Sequence[tuple[float, float | None]]


def page(results: Results, judgement: Judgement) -> str:
    """The whole document."""
    title = f"{judgement.verdict}: {', '.join(results.targets)}"
    start = results.seconds[0].t if results.seconds else 0
    times = [(second.t - start, second) for second in results.seconds]
    latency = [
        _Line(name, [(t, getattr(second, field)) for t, second in times])
        for name, field in (("p50", "p50"), ("p95", "p95"), ("p99", "p99"))
    ]
    rates = [
        _Line("sent/s", [(t, second.sent) for t, second in times]),
        _Line("answered/s", [(t, second.answered) for t, second in times]),
        _Line("errors/s", [(t, second.errors) for t, second in times]),
    ]
    held = [_Line("connections", [(t, second.connected) for t, second in times])]
    # As HdrHistogram's own plots: each decade of the share that lies above takes the same room.
    curve = [
        _Line("response ms", [(-math.log10(1 - min(p, 99.999) / 100), value) for p, value in results.response_ms.curve])
    ]
    sections = [
        f"<h1>{_text(results.run_id)} <span class='verdict {judgement.verdict}'>{judgement.verdict}</span></h1>",
        _list(judgement.reasons),
        _table(_facts(results)),
        "<h2>Thresholds</h2>",
        _table((each.threshold, describe(each), "ok" if each.passed else "broken") for each in judgement.thresholds),
        "<h2>Response and service time, ms</h2>",
        _distributions(results),
        *_stages(results),
        "<h2>Response time by second, ms</h2>",
        _chart(latency, "s"),
        "<h2>Messages by second</h2>",
        _chart(rates, "s"),
        "<h2>Connections</h2>",
        _chart(held, "s"),
        "<h2>Response time by percentile, ms</h2>",
        _chart(curve, "", ((0, "0%"), (1, "90%"), (2, "99%"), (3, "99.9%"), (4, "99.99%"), (5, "99.999%"))),
        "<h2>What went wrong</h2>",
        _table(_troubles(results)) or "<p>Nothing.</p>",
    ]
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{_text(title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style>\n<body>"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )


def _facts(results: Results) -> Iterable[tuple[str, str]]:
    connections, messages = results.connections, results.messages
    yield "target", ", ".join(results.targets)
    yield "calls of", ", ".join(call.name for call in results.calls)
    yield "MCP", f"{results.protocol}, {results.connection}"
    yield "connections", f"{connections.held_min:,} of {connections.target:,} held for {results.hold_s} s"
    yield "messages", f"{messages.answered:,} of {messages.intended:,} answered, {messages.rate_per_s:,.1f}/s"
    yield "errors", f"{messages.errors:,}, {messages.error_share:.3%}"
    if results.pings is not None:
        yield "pings", f"{results.pings.answered:,} of {results.pings.sent:,} answered"
    if results.churn is not None:
        yield "churn", f"{results.churn.closed:,} closed in their turn, {results.churn.back:,} open again"
    if (storm := results.storm) is not None:
        after = "" if storm.all_back_s is None else f", all of them after {storm.all_back_s:.2f} s"
        yield "storm", f"{storm.closed:,} closed at once, {storm.back:,} open again{after}"


def _stages(results: Results) -> Iterable[str]:
    if results.stages:
        head = ("stage", "s", "asked/s", "answered/s", "intended", "answered", "errors")
        yield "<h2>Stages</h2>"
        yield _table([head, *(_stage(stage) for stage in results.stages)])


def _stage(stage: StageResults) -> tuple[str, ...]:
    rates = f"{stage.asked_per_s:,.1f}", f"{stage.rate_per_s:,.1f}"
    return stage.name, str(stage.seconds), *rates, f"{stage.intended:,}", f"{stage.answered:,}", f"{stage.errors:,}"


def _troubles(results: Results) -> Iterable[tuple[str, str, str]]:
    kinds = (
        ("message", results.messages.causes),
        ("failed connect", results.connections.connect_errors),
        ("close", results.connections.closes),
        ("ping", results.pings.causes if results.pings is not None else {}),
    )
    for kind, counts in kinds:
        for cause, count in counts.items():
            if kind != "close" or not (cause == "stop" or planned(cause)):
                yield kind, cause, f"{count:,}"
    for words, count in results.said.items():
        yield "said", words, f"{count:,}"


def _distributions(results: Results) -> str:
    rows: list[tuple[str, ...]] = [("", *(label(name) for name in _SHOWN))]
    for name, distribution in (("response", results.response_ms), ("service", results.service_ms)):
        rows.append(_row(name, distribution))
    rows += [_row(f"stage {stage.name}", stage.response_ms) for stage in results.stages]
    if results.pings is not None:
        rows.append(_row("ping", results.pings.response_ms))
    if results.churn is not None:
        rows.append(_row("connect, churn", results.churn.connect_ms))
    if results.storm is not None:
        rows.append(_row("connect, storm", results.storm.connect_ms))
    rows += [_row(call.name, call.response_ms) for call in results.calls if call.response_ms is not None]
    return _table(rows)


def _row(name: str, distribution: Distribution) -> tuple[str, ...]:
    return name, *(milliseconds(getattr(distribution, field)) for field in _SHOWN)


def _text(value: str) -> str:
    return html.escape(value)


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(item)}</li>' for item in items)}</ul>" if items else ""


def _table(rows: Iterable[Sequence[str]]) -> str:
    body = "".join(
        "<tr>"
        + "".join(f"<td{_numeric(cell) if index else ''}>{_text(cell)}</td>" for index, cell in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f"<table>{body}</table>" if body else ""


def _numeric(cell: str) -> str:
    return " class='n'" if cell.replace(",", "").replace(".", "").isdigit() else ""


def _chart(lines: Sequence[_Line], unit: str, ticks: Sequence[tuple[float, str]] = ()) -> str:
    """Lines over one axis; where a line has no value it has a gap."""
    points = [(x, y) for line in lines for x, y in line.points if y is not None]
    if not points:
        return "<p>Nothing was measured.</p>"
    most_x = max(max(x for x, _ in points), 1e-9)
    most_y = max(max(y for _, y in points), 1e-9)

    def at(x: float, y: float) -> str:
        across = _LEFT + x / most_x * (_WIDTH - _LEFT - 8)
        return f"{across:.1f},{_HEIGHT - _BOTTOM - y / most_y * (_HEIGHT - _BOTTOM - _TOP):.1f}"

    drawn = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = at(0, most_y * share).split(",")
        drawn.append(f"<line class='axis' x1='{x}' x2='{_WIDTH - 8}' y1='{y}' y2='{y}'/>")
        drawn.append(f"<text x='{_LEFT - 6}' y='{float(y) + 4}' text-anchor='end'>{most_y * share:,.4g}</text>")
    for x_value, name in ticks or [
        (most_x * share, f"{most_x * share:.0f} {unit}") for share in (0, 0.25, 0.5, 0.75, 1)
    ]:
        if x_value <= most_x:
            x = at(x_value, 0).split(",")[0]
            drawn.append(f"<text x='{x}' y='{_HEIGHT - 6}' text-anchor='middle'>{name}</text>")
    for index, (line, colour) in enumerate(zip(lines, _COLOURS, strict=False)):
        path, pen = [], "M"
        for x_value, y_value in line.points:
            if y_value is None:
                pen = "M"
                continue
            path.append(f"{pen}{at(x_value, y_value)}")
            pen = "L"
        drawn.append(f"<path class='line' stroke='{colour}' d='{' '.join(path)}'/>")
        drawn.append(f"<text x='{_LEFT + 8 + 100 * index}' y='{_TOP - 12}' style='fill:{colour}'>{line.name}</text>")
    return f"<svg viewBox='0 0 {_WIDTH} {_HEIGHT}' role='img'>{''.join(drawn)}</svg>"

"""A comparison as people read it: a table for the terminal, and a page like the report's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from c100k import chart, strip
from c100k.comparison import Change, Comparison, Judged
from c100k.raw_csv import complete_rows
from c100k.record import Verdict
from c100k.rendering import render
from c100k.run_directory import RunDirectory
from c100k.units import milliseconds, quantity

_CLAIMS = {
    Verdict.PASS: "nothing is noticeably worse",
    Verdict.FAIL: "worse than the baseline",
    Verdict.INVALID: "the runs do not tell",
}


def claim(comparison: Comparison) -> str:
    """The verdict in words, and how many runs it is from."""
    sides = f"{_runs(comparison.candidate)} against {_runs(comparison.baseline)} of the baseline"
    return f"{_CLAIMS[comparison.verdict]} ({sides})"


def _runs(side: Sequence[Judged]) -> str:
    return "1 run" if len(side) == 1 else f"{len(side)} runs"


def text(comparison: Comparison) -> str:
    """A line a figure, the verdict, and its reasons."""
    lines = [f"{'':<28}{'baseline':>13}{'candidate':>13}{'change':>12}   {'95% interval':<30}outcome"]
    for change in comparison.changes:
        path = change.metric.path
        before, after = (quantity(path, change.middle(side)) for side in (change.baseline, change.candidate))
        lines.append(
            f"{change.metric.name:<28}{before:>13}{after:>13}{change.amount(change.change):>12}   "
            f"{_bounds(change):<30}{change.outcome}"
        )
    reasons = [f"  - {reason}" for reason in comparison.reasons]
    return "\n".join([*lines, "", f"{comparison.verdict}: {claim(comparison)}", *reasons])


def html(comparison: Comparison, directories: Iterable[RunDirectory]) -> str:
    """One page that needs nothing but itself; `directories` are those of the baseline's runs, then the candidate's."""
    return render(
        "compare.html.j2",
        comparison=comparison,
        claim=claim(comparison),
        sides=(("baseline", comparison.baseline), ("candidate", comparison.candidate)),
        bounds=_bounds,
        dots=_dots,
        interval=_interval,
        curves=_curves([directory.percentiles for directory in directories], len(comparison.baseline)),
        versions=_versions(comparison),
    )


def _bounds(change: Change) -> str:
    if change.low is None or change.high is None:
        return "unknown"
    return f"{change.amount(change.low)} to {change.amount(change.high)}"


def _dots(change: Change) -> Markup:
    sides = [
        (css, [value for value in side if value is not None])
        for css, side in (("baseline", change.baseline), ("candidate", change.candidate))
    ]
    return strip.dots(sides, f"{change.metric.name} of each run, the baseline's above the candidate's")


def _interval(change: Change) -> Markup:
    title = f"The change of {change.metric.name} with its 95% interval"
    return strip.interval(change.low, change.high, change.change, change.noticeable, title)


def _curves(paths: Sequence[Path], of_baseline: int) -> Markup | None:
    """The percentile curves of all runs that left one, the candidate's over the baseline's."""
    lines = []
    for number, path in enumerate(paths):
        points: list[chart.Point] = [
            (float(row["percentile"]), float(row["value_ms"]))
            for row in complete_rows(path)
            if row["kind"] == "response" and float(row["percentile"]) > 0
        ]
        if points:
            lines.append(chart.Line("baseline" if number < of_baseline else "candidate", points))
    if not lines:
        return None
    values = [y for line in lines for _, y in line.points if y]
    return chart.Chart(
        title="Percentile curves of the response times of all runs.",
        x=chart.nines(max(line.points[-1][0] for line in lines)),
        y=chart.logarithmic(min(values), max(values), milliseconds),
        lines=lines,
    ).svg


def _versions(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Programs whose versions are not the same on both sides."""
    found: list[dict[str, set[str]]] = []
    for side in (comparison.baseline, comparison.candidate):
        of_side: dict[str, set[str]] = {}
        for judged in side:
            for name, version in judged.run.versions.items():
                of_side.setdefault(name, set()).add(version)
        found.append(of_side)
    baseline, candidate = found
    return [
        (name, ", ".join(sorted(baseline.get(name, ["absent"]))), ", ".join(sorted(candidate.get(name, ["absent"]))))
        for name in sorted({*baseline, *candidate})
        if baseline.get(name) != candidate.get(name)
    ]

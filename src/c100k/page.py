"""`report.html`, one run on one page that needs nothing but itself, and `summary.md`, the same for a pull request.

Their figures come from `run.json` and the files beside it; what is not there is said to be absent.
"""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from c100k import chart, judged, reproduce, resources, run_charts, tuning
from c100k.record import Run
from c100k.recovery import SOON_S
from c100k.rendering import render
from c100k.run_directory import RunDirectory
from c100k.summary import verdict_line


def html(run: Run, directory: RunDirectory) -> str:
    """The page of a run that was judged and whose derived files were written."""
    plan = directory.read_plan()
    return render(
        "report.html.j2",
        run=run,
        claim=_claim(run),
        judged=[judged.in_words(rule) for rule in run.rules],
        validity=[judged.in_words(rule) for rule in run.validity],
        charts=run_charts.draw(run, directory),
        soon_s=SOON_S,
        start=run_charts.start_of(run),
        hosts=resources.by_host(run, directory),
        spark=_spark,
        tuned=tuning.read(directory, [host.name for host in run.hosts]),
        command=reproduce.command(run.scenario, run.substrate, plan["settings"]),
    )


def markdown(run: Run) -> str:
    """A run in the size of a comment on a pull request."""
    return render(
        "summary.md.j2",
        run=run,
        claim=_claim(run),
        judged=[judged.in_words(rule) for rule in run.rules],
    )


def _claim(run: Run) -> str:
    """What the verdict is about, without the verdict."""
    return verdict_line(run).partition(": ")[2]


def _spark(shares: Sequence[chart.Point], title: str) -> Markup:
    return chart.spark(shares, 1.0, title)

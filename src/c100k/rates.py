"""`rates.csv`: rate against response times, of the stages of a run and of the runs of the same search before it."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from c100k.raw_csv import complete_rows
from c100k.record import Run
from c100k.run_directory import RunDirectory

COLUMNS = (
    *("run", "stage", "rate_per_s", "seconds", "answered_per_s", "p50_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms"),
    *("error_rate", "lateness_p99_ms", "held_min", "server_us", "generator_us", "passed"),
)


def rows(run: Run) -> list[dict[str, str]]:
    """A row for each stage that was judged; a figure that was not measured is empty."""
    found = []
    for stage in run.stages.each if run.stages else []:
        if not stage.judged:
            continue
        latency = stage.latency_ms
        cells = (
            *(run.run_id, stage.name, int(stage.rate_per_s), stage.seconds, stage.messages.rate_per_s),
            *(latency.p50, latency.p95, latency.p99, latency.p999, latency.max),
            *(stage.messages.error_rate, stage.slip_ms.p99, stage.held_min),
            *(stage.server_cpu_us_per_message, stage.loadgen_cpu_us_per_message, int(stage.passed)),
        )
        found.append(dict(zip(COLUMNS, ("" if cell is None else str(cell) for cell in cells), strict=True)))
    return found


def write(path: Path, found: Iterable[dict[str, str]]) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(found)


def derive(directory: RunDirectory, run: Run) -> None:
    """Write the file of a run that has stages, with what was known when it began."""
    if run.stages is not None:
        write(directory.rates, [*complete_rows(directory.searched), *rows(run)])

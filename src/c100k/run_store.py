"""The run store: all runs below one directory, newest first, and how a user names one of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from c100k import report
from c100k.rules import format_number
from c100k.run_directory import RunDirectory, RunDirectoryError

_LATEST = "latest"


def find(name: str, root: Path) -> RunDirectory:
    """The run of this path, or of this id in the store `root`.

    Raises:
        RunDirectoryError: when there is none.
    """
    for path in (Path(name), root / name):
        if path.is_dir():
            return RunDirectory(path.resolve())
    raise RunDirectoryError(f"There is no run {name!r}, neither as a path nor in {root}; c100k runs lists them.")


def directories(root: Path) -> list[RunDirectory]:
    """All runs of a store, the newest first: their names begin with the time.

    Raises:
        RunDirectoryError: when there is no such directory.
    """
    if not root.is_dir():
        raise RunDirectoryError(f"There is no run store {root}; a first run makes it.")
    paths = (path for path in root.iterdir() if path.name != _LATEST and RunDirectory(path).plan.exists())
    return [RunDirectory(path) for path in sorted(paths, key=lambda path: path.name, reverse=True)]


def table(runs: Iterable[RunDirectory]) -> str:
    """A line a run; one that cannot be read says why."""
    head = (
        f"{'run':<32}{'verdict':<9}{'connections':>12}{'held':>10}{'for':>8}{'p95 ms':>9}{'errors':>9}  what was held"
    )
    return "\n".join([head, *(f"{run.run_id:<32}{_line(run)}" for run in runs)])


def _line(directory: RunDirectory) -> str:
    if not directory.run_json.exists():
        return "not judged; c100k report judges it"
    try:
        run = report.read(directory.path)
    except RunDirectoryError:
        return "judged by another version; c100k report judges it anew"
    p95, errors = _short(run.latency_ms.p95, ".1f"), _short(run.messages.error_rate, ".3%")
    return (
        f"{run.verdict:<9}{run.connections.target:>12,}{format_number(run.connections.held_min):>10}"
        f"{run.connections.hold_s:>6} s{p95:>9}{errors:>9}  {run.connection_kind}"
    )


def _short(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)

"""What the controller saw of a run each second, as files of its directory: written as it happens, read by the view."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from types import TracebackType
from typing import TextIO

from c100k.live import HostProgress, Progress
from c100k.raw_csv import complete_rows
from c100k.run_directory import RunDirectory

_ALL = tuple(field.name for field in fields(Progress) if field.name != "hosts")
_EACH = ("t", *(field.name for field in fields(HostProgress)))


class ProgressWriter:
    """Appends to `progress.csv` and `progress-hosts.csv`; a context manager."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._open: list[TextIO] = []

    def __enter__(self) -> ProgressWriter:
        for path, columns in ((self._run.progress, _ALL), (self._run.progress_hosts, _EACH)):
            handle = path.open("a", newline="")
            if not handle.tell():
                csv.writer(handle).writerow(columns)
            self._open.append(handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._open:
            handle.close()

    def write(self, progress: Progress) -> None:
        """One row, and one for each host."""
        figures = {**asdict(progress), "silent": " ".join(progress.silent)}
        whole, hosts = self._open
        csv.writer(whole).writerow(figures[name] for name in _ALL)
        csv.writer(hosts).writerows((progress.t, *asdict(host).values()) for host in progress.hosts)
        for handle in self._open:
            handle.flush()


def read(run: RunDirectory) -> list[Progress]:
    """All rows so far, each with its hosts."""
    hosts: dict[str, list[HostProgress]] = {}
    for row in complete_rows(run.progress_hosts):
        hosts.setdefault(row["t"], []).append(_host(row))
    return [_progress(row, hosts.get(row["t"], ())) for row in complete_rows(run.progress)]


def _progress(row: dict[str, str], hosts: Iterable[HostProgress]) -> Progress:
    return Progress(
        t=float(row["t"]),
        state=row["state"],
        connected=int(row["connected"]),
        target=int(row["target"]),
        rate_per_s=int(row["rate_per_s"]),
        p95_ms=_optional(row["p95_ms"]),
        errors=int(row["errors"]),
        connect_errors=int(row["connect_errors"]),
        closed=int(row["closed"]),
        away=int(row["away"]),
        seconds_left=float(row["seconds_left"]),
        silent=tuple(row["silent"].split()),
        hosts=tuple(hosts),
    )


def _host(row: dict[str, str]) -> HostProgress:
    return HostProgress(
        name=row["name"],
        state=row["state"],
        connected=int(row["connected"]),
        target=int(row["target"]),
        rate_per_s=int(row["rate_per_s"]),
        p95_ms=_optional(row["p95_ms"]),
        errors=int(row["errors"]),
        # Runs from before plans could close connections have no column of those.
        reopening=int(row.get("reopening") or 0),
    )


def _optional(cell: str) -> float | None:
    return float(cell) if cell else None

"""The files of one worker: CSV rows and HdrHistogram logs, flushed every second for the case of a crash."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from c100k_loadgen.assignment import Totals
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Interval
from c100k_loadgen.tally import CauseKey

_DELTAS = ("opened", "connect_errors", "closed", "intended", "sent", "answered", "errors", "timeouts")
SECONDS_COLUMNS = ("t", "phase", "connected", *_DELTAS, "loop_lag_max_ms", "cpu_s", "rss_bytes")
CAUSES_COLUMNS = ("t", "phase", "kind", "target", "cause", "count")


class OwnCost(NamedTuple):
    """What the worker itself took: its event loop's longest delay in the second, its CPU so far, its memory now."""

    loop_lag_max_s: float
    cpu_s: float
    rss_bytes: int


class WorkerFiles:
    """Appends to `<host>-w<k>-seconds.csv`, `-causes.csv` and `-<phase>.hlog` in `directory`."""

    def __init__(self, directory: Path, host: str, index: int) -> None:
        self._stem = directory / f"{host}-w{index}"
        self._seconds = self._open("-seconds.csv")
        self._causes = self._open("-causes.csv")
        self._logs: dict[Phase, IO[str]] = {}
        self._seconds_rows = csv.writer(self._seconds, lineterminator="\n")
        self._causes_rows = csv.writer(self._causes, lineterminator="\n")
        self._seconds_rows.writerow(SECONDS_COLUMNS)
        self._causes_rows.writerow(CAUSES_COLUMNS)
        self.flush()

    def _open(self, suffix: str) -> IO[str]:
        return Path(f"{self._stem}{suffix}").open("a", encoding="ascii", newline="")

    def second(self, t: int, phase: Phase, now: Totals, before: Totals, own: OwnCost) -> None:
        """The row of [t, t + 1): the growth from `before` to `now`."""
        deltas = (getattr(now, name) - getattr(before, name) for name in _DELTAS)
        cost = f"{own.loop_lag_max_s * 1000:.1f}", f"{own.cpu_s:.6f}", own.rss_bytes
        self._seconds_rows.writerow((t, phase, now.connected, *deltas, *cost))

    def causes(self, t: int, counts: Mapping[CauseKey, int]) -> None:
        self._causes_rows.writerows((t, *key, count) for key, count in sorted(counts.items()))

    def interval(self, phase: Phase, tag: str, t: int, interval: Interval) -> None:
        """One line of the log of `phase`: what was recorded in [t, t + 1), in HdrHistogram's log format.

        The counts are of microseconds; the column of the largest value is in milliseconds, as other writers have it.
        """
        log = self._logs.get(phase)
        if log is None:
            log = self._logs[phase] = self._open(f"-{phase}.hlog")
            log.write(_log_header(t))
        log.write(f"Tag={tag},{t}.000,1.000,{interval.max_us / 1000:.3f},{interval.encoded}\n")

    def flush(self) -> None:
        for file in (self._seconds, self._causes, *self._logs.values()):
            file.flush()

    def close(self) -> None:
        for file in (self._seconds, self._causes, *self._logs.values()):
            file.close()


def _log_header(t: int) -> str:
    """The head of a log whose time stamps are absolute; format version 1.2 is the log of V2-encoded histograms."""
    when = datetime.datetime.fromtimestamp(t, datetime.UTC).isoformat(" ")
    return (
        "#[Values are in microseconds]\n"
        "#[Histogram log format version 1.2]\n"
        f"#[StartTime: {t}.000 (seconds since epoch), {when}]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )

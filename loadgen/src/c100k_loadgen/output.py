"""The files of one worker: CSV rows and HdrHistogram logs, flushed every second for the case of a crash."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from c100k_loadgen.assignment import Totals
from c100k_loadgen.fan_out import Heard, Published
from c100k_loadgen.name_verification import Contender, VerifiedName
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Interval, Recorder
from c100k_loadgen.reopenings import Reopening
from c100k_loadgen.resumable import Resumption
from c100k_loadgen.tally import CauseKey

_DELTAS = ("opened", "connect_errors", "closed", "intended", "sent", "answered", "errors", "timeouts")
SECONDS_COLUMNS = (
    *("t", "phase", "connected"),
    *_DELTAS,
    *("loop_lag_max_ms", "cpu_s", "rss_bytes", "away", "resumed", "reopening"),
)
CAUSES_COLUMNS = ("t", "phase", "kind", "target", "cause", "count")
FAN_OUT_COLUMNS = ("moment", "target", "listeners", "delivered", "duplicated", "last_ms")
RESUMPTIONS_COLUMNS = ("session", "lost_at", "cause", "from", "to", "attempts", "resumed_at", "missed", "outcome")
OPERATIONS_COLUMNS = ("t", "target", "session", "operation", "attempt", "outcome")
CALLS_COLUMNS = ("t", "call", "sent", "answered")
COUNTERS_COLUMNS = ("session", "acked", "last_operation", "counter")
NAMES_COLUMNS = ("name", "target", "node", "acked", "version", "outcome", "found_node", "found_value")
CONTEST_COLUMNS = ("name", "session", "target", "outcome", "found")
STAGES_COLUMNS = ("t", "stage", "target", "cause", "count")
PINGS_COLUMNS = ("t", "sent", "answered")
REOPENINGS_COLUMNS = ("connection", "why", "closed_at", "opened_at", "connect_ms", "failed", "refused")
MISTAKES_COLUMNS = ("t", "kind", "name", "what", "expected", "found")
SAID_COLUMNS = ("t", "words", "count")
PUBLISHES_COLUMNS = ("moment", "target", "slip_ms", "answered_ms", "cause")


class OwnCost(NamedTuple):
    """What the worker itself took: its event loop's longest delay in the second, its CPU so far, its memory now."""

    loop_lag_max_s: float
    cpu_s: float
    rss_bytes: int


class WorkerFiles:
    """Appends to `<host>-w<k>-seconds.csv`, `-causes.csv` and `-<phase>.hlog` in `directory`.

    What servers said when they refused something goes to `-said.csv`.
    With a fan-out also to `-fan-out.csv` and `-publishes.csv`, whose moments are Unix seconds and whose times count
    from them. With a mix of calls also to `-calls.csv`. With sessions that are resumed also to `-resumptions.csv`, and
    with increments to `-operations.csv` and `-counters.csv`. With a registry also
    to `-names.csv`, `-contest.csv` and `-mistakes.csv`. With stages also to `-stages.csv`, with heartbeats to
    `-pings.csv`, and with connections that the plan closes to `-reopenings.csv`.
    """

    def __init__(self, directory: Path, host: str, index: int, epoch: float) -> None:
        self._epoch = epoch
        self._stem = directory / f"{host}-w{index}"
        self._seconds = self._open("-seconds.csv")
        self._causes = self._open("-causes.csv")
        self._logs: dict[Phase, IO[str]] = {}
        self._others: dict[str, tuple[IO[str], Any]] = {}
        self._seconds_rows = csv.writer(self._seconds, lineterminator="\n")
        self._causes_rows = csv.writer(self._causes, lineterminator="\n")
        self._seconds_rows.writerow(SECONDS_COLUMNS)
        self._causes_rows.writerow(CAUSES_COLUMNS)
        self.flush()

    def _open(self, suffix: str) -> IO[str]:
        return Path(f"{self._stem}{suffix}").open("a", encoding="utf-8", newline="")

    def second(self, t: int, phase: Phase, now: Totals, before: Totals, own: OwnCost) -> None:
        """The row of [t, t + 1): the growth from `before` to `now`."""
        deltas = (getattr(now, name) - getattr(before, name) for name in _DELTAS)
        cost = f"{own.loop_lag_max_s * 1000:.1f}", f"{own.cpu_s:.6f}", own.rss_bytes
        resumed = now.resumed - before.resumed
        self._seconds_rows.writerow((t, phase, now.connected, *deltas, *cost, now.away, resumed, now.reopening))

    def causes(self, t: int, counts: Mapping[CauseKey, int]) -> None:
        self._causes_rows.writerows((t, *key, count) for key, count in sorted(counts.items()))

    def said(self, t: int, counts: Mapping[str, int]) -> None:
        """How often servers said what in [t, t + 1)."""
        for words, count in counts.items():
            self._append("-said.csv", SAID_COLUMNS, (t, words, count))

    def interval(self, phase: Phase, tag: str, t: int, interval: Interval) -> None:
        """One line of the log of `phase`: what was recorded in [t, t + 1), in HdrHistogram's log format.

        The counts are of microseconds; the column of the largest value is in milliseconds, as other writers have it.
        """
        log = self._logs.get(phase)
        if log is None:
            log = self._logs[phase] = self._open(f"-{phase}.hlog")
            log.write(_log_header(t))
        log.write(f"Tag={tag},{t}.000,1.000,{interval.max_us / 1000:.3f},{interval.encoded}\n")

    def interval_of_samples(self, phase: Phase, tag: str, t: int, recorder: Recorder) -> None:
        """What was recorded, if anything was."""
        if (interval := recorder.take()).samples:
            self.interval(phase, tag, t, interval)

    def stage_causes(self, t: int, stage: str, counts: Mapping[tuple[str, str], int]) -> None:
        """What went wrong of messages of one stage, by target and cause."""
        for (target, cause), count in sorted(counts.items()):
            self._append("-stages.csv", STAGES_COLUMNS, (t, stage, target, cause, count))

    def pings(self, t: int, sent: int, answered: int) -> None:
        """The heartbeats of a second."""
        if sent or answered:
            self._append("-pings.csv", PINGS_COLUMNS, (t, sent, answered))

    def reopening(self, reopening: Reopening) -> None:
        """What became of a connection that the plan had closed; `opened_at` is empty when it did not come back."""
        opened_at, connect_ms = "", ""
        if reopening.opened_at is not None:
            opened_at, connect_ms = self._unix(reopening.opened_at), f"{reopening.connect_s * 1000:.3f}"
        row = (reopening.number, reopening.why, self._unix(reopening.closed_at), opened_at, connect_ms)
        self._append("-reopenings.csv", REOPENINGS_COLUMNS, (*row, reopening.failed, reopening.refused))

    def call(self, t: int, name: str, sent: int, response: Interval) -> None:
        """What became in [t, t + 1) of one call of a mix, of messages of the hold."""
        if sent or response.samples:
            self._append("-calls.csv", CALLS_COLUMNS, (t, name, sent, response.samples))
        if response.samples:
            self.interval("hold", f"call.{name}", t, response)

    def heard(self, heard: Heard) -> None:
        """What became of one publish; `last_ms` is empty when nobody heard of it."""
        last_ms = "" if heard.last_at is None else f"{(heard.last_at - heard.moment) * 1000:.3f}"
        counts = heard.listeners, heard.delivered, heard.duplicated
        self._append("-fan-out.csv", FAN_OUT_COLUMNS, (self._unix(heard.moment), heard.target, *counts, last_ms))

    def published(self, published: Published) -> None:
        """One publish; a time is empty when that did not happen, and `cause` says why not."""
        moment = published.moment
        times = ("" if t is None else f"{(t - moment) * 1000:.3f}" for t in (published.sent_at, published.answered_at))
        row = (self._unix(moment), published.target, *times, published.cause)
        self._append("-publishes.csv", PUBLISHES_COLUMNS, row)

    def resumption(self, resumption: Resumption) -> None:
        """What became of a session that had lost its connection."""
        lost_at, *rest = self._unix(resumption.lost_at), resumption.cause, resumption.source, resumption.to
        resumed_at = "" if resumption.resumed_at is None else self._unix(resumption.resumed_at)
        end = resumption.attempts, resumed_at, resumption.missed, resumption.outcome
        self._append("-resumptions.csv", RESUMPTIONS_COLUMNS, (resumption.session, lost_at, *rest, *end))

    def operation(self, t: float, target: str, session: int, operation: int, attempt: int, outcome: int | str) -> None:
        """What became of one attempt at an operation: its counter, or `refused`, `error` or `unknown`."""
        row = self._unix(t), target, session, operation, attempt, outcome
        self._append("-operations.csv", OPERATIONS_COLUMNS, row)

    def counter(self, session: int, acked: int, last_operation: int, counter: int | None) -> None:
        """What a session had acknowledged at last and asked for at last, and its counter if that could be read."""
        row = session, acked, last_operation, "" if counter is None else counter
        self._append("-counters.csv", COUNTERS_COLUMNS, row)

    def verified_name(self, row: VerifiedName) -> None:
        """What was found under a session's name at the end."""
        self._append("-names.csv", NAMES_COLUMNS, row)

    def contender(self, row: Contender) -> None:
        """What became of one attempt at a contested name."""
        self._append("-contest.csv", CONTEST_COLUMNS, row)

    def mistake(self, t: float, kind: str, name: str, what: str, expected: str, found: str) -> None:
        """A look-up that was answered wrong, or found nothing."""
        self._append("-mistakes.csv", MISTAKES_COLUMNS, (self._unix(t), kind, name, what, expected, found))

    def _append(self, suffix: str, columns: Sequence[str], row: Sequence[object]) -> None:
        """A row of a file that few runs have."""
        if suffix not in self._others:
            file = self._open(suffix)
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            self._others[suffix] = file, writer
        self._others[suffix][1].writerow(row)

    def _unix(self, t: float) -> str:
        return f"{t + self._epoch:.3f}"

    def flush(self) -> None:
        for file in self._files():
            file.flush()

    def close(self) -> None:
        for file in self._files():
            file.close()

    def _files(self) -> list[IO[str]]:
        return [self._seconds, self._causes, *self._logs.values(), *(file for file, _ in self._others.values())]


def _log_header(t: int) -> str:
    """The head of a log whose time stamps are absolute; format version 1.2 is the log of V2-encoded histograms."""
    when = datetime.datetime.fromtimestamp(t, datetime.UTC).isoformat(" ")
    return (
        "#[Values are in microseconds]\n"
        "#[Histogram log format version 1.2]\n"
        f"#[StartTime: {t}.000 (seconds since epoch), {when}]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )

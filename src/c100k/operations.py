"""What became of acknowledged writes: each session counts, and at the end its counter must be what it was told.

A generator numbers the increments of a session and has one of them outstanding; one of unknown outcome is asked for
again under its number. So the counter may be neither behind what was acknowledged nor ahead of what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from c100k.raw_csv import complete_rows
from c100k.run_directory import RunDirectory

#: Violations that are told one by one; all are counted.
TOLD_MAX = 20

#: How an attempt came to no acknowledgement; it is refused when the server cannot use its state.
REFUSED, ERROR, UNKNOWN = "refused", "error", "unknown"

Row = Mapping[str, str]


class Violation(msgspec.Struct, frozen=True):
    """What is wrong with one session: so many increments are lost, done twice, or acknowledged out of order."""

    host: str
    session: int
    kind: Literal["lost", "duplicated", "reordered"]
    increments: int
    acknowledged: int
    counter: int | None


class Operations(msgspec.Struct, frozen=True, kw_only=True):
    """The increments of a run. `attempts` are those with an outcome: acknowledged, `refused`, `errors` or `unknown`.

    `unread` are the sessions whose counter could not be read at the end: theirs may be lost without being seen.
    `lost`, `duplicated` and `reordered` count increments; `violations` has the first of them by session.
    """

    sessions: int
    operations: int
    acknowledged: int
    attempts: int
    errors: int
    unknown: int
    refused: int = 0
    unread: int
    lost: int
    duplicated: int
    reordered: int
    violations: list[Violation]


class _Session:
    """One session's part of the log, in the order of the outcomes."""

    __slots__ = ("acknowledged", "counter", "duplicated", "highest", "last", "last_value", "lost", "reordered", "sent")

    def __init__(self) -> None:
        self.sent = 0  # operations that were asked for
        self.last = 0  # the number of the newest of them
        self.acknowledged = 0  # operations with a value
        self.last_value: int | None = None  # of the newest of them, once it is acknowledged
        self.highest = 0  # of all values
        self.lost = 0
        self.duplicated = 0
        self.reordered = 0
        self.counter: int | None = None

    def add(self, operation: int, value: int | None) -> None:
        if operation > self.last:
            self.sent += 1
            self.last, self.last_value = operation, None
        if value is None:
            return
        if operation == self.last and self.last_value is None:
            self.acknowledged += 1
            self.reordered += value <= self.highest
            self.last_value = value
            self.lost = max(self.lost, self.acknowledged - value)
        elif operation < self.last or value != self.last_value:
            self.reordered += 1
        self.highest = max(self.highest, value)
        self.duplicated = max(self.duplicated, value - self.sent)

    def end(self, acknowledged: int, last_operation: int, counter: int | None) -> None:
        """What its generator says of it at the end; the end of its log may be missing."""
        self.highest = max(self.highest, acknowledged)
        sent = self.sent + (last_operation > self.last)
        if counter is not None:
            self.counter = counter
            self.lost = max(self.lost, self.acknowledged - counter, self.highest - counter)
            self.duplicated = max(self.duplicated, counter - sent)


def check(run: RunDirectory) -> Operations | None:
    """The increments of all hosts; `None` when there were none."""
    sessions: dict[tuple[str, int], _Session] = {}
    tried = refused = errors = unknown = 0
    for host, row in _rows(run, "operations"):
        session = sessions.setdefault((host, int(row["session"])), _Session())
        outcome = row["outcome"]
        tried += 1
        refused += outcome == REFUSED
        errors += outcome == ERROR
        unknown += outcome == UNKNOWN
        session.add(int(row["operation"]), None if outcome in (REFUSED, ERROR, UNKNOWN) else int(outcome))
    for host, row in _rows(run, "counters"):
        session = sessions.setdefault((host, int(row["session"])), _Session())
        session.end(int(row["acked"]), int(row["last_operation"]), int(row["counter"]) if row["counter"] else None)
    if not sessions:
        return None
    each = sessions.values()
    return Operations(
        sessions=len(sessions),
        operations=sum(session.sent for session in each),
        acknowledged=sum(session.acknowledged for session in each),
        attempts=tried,
        refused=refused,
        errors=errors,
        unknown=unknown,
        unread=sum(session.counter is None for session in each),
        lost=sum(session.lost for session in each),
        duplicated=sum(session.duplicated for session in each),
        reordered=sum(session.reordered for session in each),
        violations=list(_violations(sessions.items()))[:TOLD_MAX],
    )


def attempts(run: RunDirectory) -> Iterator[Row]:
    """What became of each attempt at an increment, host by host."""
    return (row for _, row in _rows(run, "operations"))


def _rows(run: RunDirectory, name: str) -> Iterator[tuple[str, Row]]:
    for path in sorted(run.hosts.glob(f"*/*-{name}.csv")):
        for row in complete_rows(path):
            yield path.parent.name, row


def _violations(sessions: Iterable[tuple[tuple[str, int], _Session]]) -> Iterator[Violation]:
    for (host, number), session in sorted(sessions, key=lambda item: item[0]):
        found: tuple[tuple[Literal["lost", "duplicated", "reordered"], int], ...] = (
            ("lost", session.lost),
            ("duplicated", session.duplicated),
            ("reordered", session.reordered),
        )
        for kind, increments in found:
            if increments:
                yield Violation(host, number, kind, increments, session.acknowledged, session.counter)

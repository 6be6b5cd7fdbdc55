"""Connections that the plan has closed, on their way back: how long that takes, and how long they are excused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from c100k_loadgen.causes import Planned
from c100k_loadgen.connection import Connection
from c100k_loadgen.opener import Opener
from c100k_loadgen.recorder import Recorder


class Reopening(NamedTuple):
    """A connection that the plan has closed, and how it came back. Times are `time.monotonic` seconds.

    `opened_at` is None when it did not. `connect_s` is what the attempt that succeeded took, with its handshake, after
    so many that `failed`, of which `refused` ones were refused.
    """

    number: int
    why: Planned
    closed_at: float
    opened_at: float | None
    connect_s: float
    failed: int
    refused: int


class _Absence:
    """A connection that is not back yet. It is excused until `due_at`."""

    __slots__ = ("closed_at", "due_at", "failed", "refused", "why")

    def __init__(self, why: Planned, closed_at: float, due_at: float) -> None:
        self.why: Planned = why
        self.closed_at = closed_at
        self.due_at = due_at
        self.failed = self.refused = 0


class Reopenings:
    """Has `opener` open again what the plan has closed, until that succeeds. `on_reopening` gets each that is back.

    `connects` are the times that connecting took, by why it was closed. A connection that is not back `timeout_s` after
    it was to be opened is excused no longer.
    """

    def __init__(self, opener: Opener, timeout_s: float, on_reopening: Callable[[Reopening], None]) -> None:
        self.connects: dict[Planned, Recorder] = {"churn": Recorder(), "storm": Recorder()}
        self._opener = opener
        self._timeout_s = timeout_s
        self._on_reopening = on_reopening
        self._absent: dict[int, _Absence] = {}

    def excused(self, now: float) -> int:
        """How many are not there because the plan has closed them, and are not overdue."""
        return sum(now < absence.due_at for absence in self._absent.values())

    def closed(self, connection: Connection, why: Planned, reopen_at: float) -> None:
        """The plan has closed a connection; it is opened again at the moment `reopen_at`."""
        now = time.monotonic()
        self._absent[connection.number] = _Absence(why, now, reopen_at + self._timeout_s)
        self._opener.reopen(connection.number, 0, reopen_at)

    def opened(self, connection: Connection, connect_s: float) -> None:
        """A connection is open; perhaps one of these."""
        absence = self._absent.pop(connection.number, None)
        if absence is not None:
            self.connects[absence.why].record(int(connect_s * 1e6))
            self._tell(connection.number, absence, time.monotonic(), connect_s)

    def failed(self, connection: Connection, cause: str) -> bool:
        """An attempt came to nothing. Says whether it was one of these, which is then made again."""
        absence = self._absent.get(connection.number)
        if absence is None:
            return False
        absence.failed += 1
        absence.refused += cause == "refused"
        self._opener.reopen(connection.number, connection.attempts + 1)
        return True

    def reopen_with(self, number: int) -> None:
        """What a connection belongs to is open: open it too, if it is one of these."""
        if number in self._absent:
            self._opener.reopen(number, 0)

    def finish(self) -> None:
        """The run is over: tell of those that did not come back."""
        for number, absence in self._absent.items():
            self._tell(number, absence, None, 0.0)
        self._absent.clear()

    def _tell(self, number: int, absence: _Absence, opened_at: float | None, connect_s: float) -> None:
        came = absence.failed, absence.refused
        self._on_reopening(Reopening(number, absence.why, absence.closed_at, opened_at, connect_s, *came))

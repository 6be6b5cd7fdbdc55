"""The shape of `run.json`, schema version 1. The JSON Schema beside this file is generated from these types.

Units are in the names. A figure that could not be measured is `None`, never zero.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

SCHEMA_VERSION = 1


class Verdict(StrEnum):
    """PASS: every rule held. FAIL: the service broke a rule. INVALID: the instrument did, so nothing is claimed."""

    PASS = "PASS"
    FAIL = "FAIL"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        """The exit code of the command line: 0 PASS, 1 FAIL, 3 INVALID (2 is wrong usage)."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INVALID: 3}[self]


class Host(msgspec.Struct, frozen=True):
    name: str
    address: str
    groups: list[str]
    facts: dict[str, Any] = {}


class Phase(msgspec.Struct, frozen=True):
    """A phase by the clock of the run; times are Unix seconds."""

    name: str
    started_at: float
    ended_at: float


class Connections(msgspec.Struct, frozen=True):
    """`held_min` is the smallest of the client, server and kernel counts in any second of the hold.

    `missing_max` is how many were missing then: the target less `held_min`. `peak` is unknown when no second has all
    three counts.
    """

    target: int
    peak: int | None
    held_min: int | None
    missing_max: int | None
    hold_s: int
    connect_errors: int
    connect_error_causes: dict[str, int]
    unexplained_closes: int
    close_causes: dict[str, int]
    ramp_s: int | None
    ramp_rate_per_s: float | None


class Messages(msgspec.Struct, frozen=True):
    """The hold phase. Every intended message is answered, an error, a time-out, or `unanswered` (none of these)."""

    intended: int
    sent: int
    answered: int
    errors: int
    timeouts: int
    unanswered: int
    error_rate: float | None
    rate_per_s: float | None
    error_causes: dict[str, int]


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds, from merged HdrHistograms (three significant digits); `samples` is how many values they hold."""

    samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None


class ProcessCost(msgspec.Struct, frozen=True):
    """What a program cost during the hold: CPU over the phase, memory at its largest, less what it had when idle."""

    rss_bytes: int | None
    rss_per_connection_bytes: float | None
    cpu_s: float | None
    cpu_us_per_message: float | None
    gc_pause_max_ms: float | None = None


class Server(msgspec.Struct, frozen=True):
    total: ProcessCost
    by_host: dict[str, ProcessCost]
    worker_deaths: int


class LoadGenerator(msgspec.Struct, frozen=True):
    """How good the instrument was: what it cost, and how late it sent (`slip`: actual minus intended send)."""

    total: ProcessCost
    by_host: dict[str, ProcessCost]
    slip_ms: Percentiles
    workers: int
    worker_deaths: int
    unfinished_hosts: int


class Ledger(msgspec.Struct, frozen=True):
    """Whether client, server and kernel told the same story in the hold.

    `disagreement` is the largest difference between the three counts that lasted three seconds in a row, over all
    hosts; `coverage` is the share of the hold's seconds for which every host gave all its counts.
    """

    seconds: int
    coverage: float
    disagreement: int | None
    disagreement_share: float | None


class Kernel(msgspec.Struct, frozen=True):
    """Growth of the kernels' own counters from the idle baseline to the end of the hold, over all hosts."""

    listen_overflows: int
    listen_drops: int
    conntrack_full: bool


class Rule(msgspec.Struct, frozen=True):
    name: str
    metric: str
    phase: str
    op: str
    limit: float | None
    actual: float | None
    samples: int
    passed: bool


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as judged from its raw files."""

    schema_version: int = SCHEMA_VERSION
    run_id: str
    scenario: str
    started_at: float
    ended_at: float | None
    substrate: str
    protocol: str
    transport: str
    connection_kind: str
    hosts: list[Host]
    versions: dict[str, str]
    phases: list[Phase]
    connections: Connections
    messages: Messages
    latency_ms: Percentiles
    service_ms: Percentiles
    server: Server
    loadgen: LoadGenerator
    ledger: Ledger
    kernel: Kernel
    recovery: list[dict[str, Any]] = []
    registry: dict[str, Any] | None = None
    rules: list[Rule]
    validity: list[Rule]
    verdict: Verdict
    reasons: list[str]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `run.json`."""
    schema = msgspec.json.schema(Run)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "c100k run.json", **schema}

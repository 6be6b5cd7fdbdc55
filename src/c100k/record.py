"""The shape of `run.json`, schema version 1. The JSON Schema beside this file is generated from these types.

Units are in the names. A figure that could not be measured is `None`, never zero.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from c100k.confidence import Interval
from c100k.operations import Operations
from c100k.recovery import Recovery
from c100k.state_loss import StateLoss

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


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """`held_min` is the smallest of the client, server and kernel counts in any second of the hold, with those that the
    plan itself had closed and that were on their way back.

    `missing_max` is how many were missing then: the target less `held_min`. `peak` is unknown when no second has all
    three counts. `recovery_s` are the seconds of the hold in which sessions were on their way after a fault, and not
    held; `explained_closes` are those that a fault on their target explains.
    """

    target: int
    peak: int | None
    held_min: int | None
    missing_max: int | None
    hold_s: int
    connect_errors: int
    connect_error_causes: dict[str, int]
    unexplained_closes: int
    explained_closes: int = 0
    recovery_s: int = 0
    close_causes: dict[str, int]
    ramp_s: int | None
    ramp_rate_per_s: float | None


class Messages(msgspec.Struct, frozen=True):
    """The hold phase. Every intended message is answered, an error, a time-out, `refused` for want of state while that
    was down on purpose, or `unanswered` (none of these).

    `error_rate` is of those that were not refused; `error_rate_interval` is where it lies with 95% confidence, taking
    the messages as independent.
    """

    intended: int
    sent: int
    answered: int
    errors: int
    timeouts: int
    unanswered: int
    error_rate: float | None
    rate_per_s: float | None
    error_causes: dict[str, int]
    error_rate_interval: Interval | None = None
    refused: int = 0


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds, from merged HdrHistograms (three significant digits); `samples` is how many values they hold.

    `intervals` are where the percentiles lie with 95% confidence, by their names; none of fewer than ten seconds.
    """

    samples: int
    p50: float | None
    p95: float | None
    p99: float | None
    p999: float | None
    max: float | None
    intervals: dict[str, Interval] = {}


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
    """How good the instrument was: what it cost, and how late it sent (`slip`: actual minus intended send).

    `loop_lag_max_ms` is the longest that a worker's event loop was held up in the hold.
    """

    total: ProcessCost
    by_host: dict[str, ProcessCost]
    slip_ms: Percentiles
    loop_lag_max_ms: float | None
    workers: int
    worker_deaths: int
    unfinished_hosts: int


class Ledger(msgspec.Struct, frozen=True):
    """Whether client, server and kernel told the same story in the hold.

    `disagreement` is the largest difference between the three counts that lasted three seconds in a row, over all
    hosts; `coverage` is the share of the hold's seconds for which every host gave all its counts. While a host is down,
    and until the sockets it leaves are gone, the kernel is no witness; `kernel_coverage` is the share in which it was.
    """

    seconds: int
    coverage: float
    disagreement: int | None
    disagreement_share: float | None
    kernel_coverage: float = 1.0


class Kernel(msgspec.Struct, frozen=True):
    """Growth of the kernels' own counters from the idle baseline to the end of the hold, over all hosts."""

    listen_overflows: int
    listen_drops: int
    conntrack_full: bool


class Publish(msgspec.Struct, frozen=True):
    """One change of all targets at once: who was to hear of it, who did, and when the last one had.

    Times are milliseconds from `moment`, when it was meant to be; `slip_ms` is how late the last publisher was.
    """

    moment: float
    listeners: int
    delivered: int
    missing: int
    duplicated: int
    last_ms: float | None
    slip_ms: float | None


class FanOut(msgspec.Struct, frozen=True):
    """All publishes together; `latency_ms` is from the intended publish to each receipt, `last_ms` to the slowest last.

    A publish counts in `publishes` when there was somebody to hear of it and each target had its publisher;
    `publish_errors` are the publishers' calls that were not answered as they should be.
    """

    planned: int
    publishes: int
    listeners: int
    delivered: int
    missing: int
    duplicated: int
    latency_ms: Percentiles
    last_ms: float | None
    slip_max_ms: float | None
    publish_errors: dict[str, int]
    each: list[Publish]


class Churn(msgspec.Struct, frozen=True):
    """Connections that were closed in their turn, and those that were `back` when the hold ended. Of the attempts to
    open them again so many `failed`, and of these so many were `refused`; `connect_ms` is what the others took."""

    closed: int
    back: int
    failed: int
    refused: int
    connect_ms: Percentiles


class Storm(msgspec.Struct, frozen=True):
    """The same of a reconnect storm. `all_back_s` is how long after it broke out the last connection was open, on the
    host where that took longest; unknown when some did not come back."""

    closed: int
    back: int
    all_back_s: float | None
    failed: int
    refused: int
    connect_ms: Percentiles


class Heartbeats(msgspec.Struct, frozen=True):
    """The pings of the settle phase and the hold, which are not among the messages; `latency_ms` is that of the hold.

    A ping that is neither answered nor counted under a cause was on its way when the run was interrupted.
    """

    sent: int
    answered: int
    error_rate: float | None
    error_causes: dict[str, int]
    latency_ms: Percentiles


class Call(msgspec.Struct, frozen=True):
    """One of the calls that messages of the hold were, in a mix of several. `latency_ms` is that of the answers."""

    name: str
    sent: int
    answered: int
    latency_ms: Percentiles


class StateNode(msgspec.Struct, frozen=True):
    """One instance of the state cluster. `master` is `host:port` for a replica; `offset` counts replicated bytes."""

    host: str
    address: str
    port: int
    role: str
    master: str | None
    slots: int
    config_epoch: int
    link_up: bool | None
    offset: int
    keys: int
    used_memory_bytes: int
    rss_bytes: int


class State(msgspec.Struct, frozen=True):
    """The Redis Cluster when the run was collected: `complete` unless there are `problems`, one sentence each.

    `settings` are those that decide what a failover costs and what a crash may lose, as the first instance has them.
    """

    complete: bool
    problems: list[str]
    versions: list[str]
    current_epoch: int | None
    slots_covered: int
    settings: dict[str, str]
    nodes: list[StateNode]


class Cluster(msgspec.Struct, frozen=True):
    """How the cluster came up, and how often it was broken.

    `formed_s` is from the first worker that started until all servers listened, and unknown when one did not. A route
    is an ordered pair of nodes: a session of the one, sent a message from the other, and carried on there. `faults` are
    those within the hold.
    """

    nodes: int
    nodes_ready: int
    formed_s: float | None
    routes: int
    routes_failed: int
    message_max_ms: float | None
    resume_max_ms: float | None
    problems: list[str]
    faults_planned: int
    faults: int


class Lookups(msgspec.Struct, frozen=True):
    """Look-ups of names in the hold, as servers count them, from a request being understood to its answer being known.

    Percentiles are upper bounds: the server's histogram has powers of two of microseconds, from 16 on.
    """

    lookups: int
    mean_us: float | None
    p50_us: float | None
    p99_us: float | None


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """The names of sessions. `keys` are those that led to their owner when all were looked up after the hold.

    `lookups`, `mean_us` and the percentiles beside it are at the servers, over all sources: `own` sessions of the
    worker, its `cache`, and `redis`. Times in `_ms` are over the wire, from the intended send: `find_ms` of all
    look-ups, of names at the asker's node (`find_local_ms`) and at others, `update_ms` of new values, `cycle_ms` of a
    name given up and taken again, `register_ms` of registrations in the ramp. `stale_ms` is how long after a change
    was acknowledged look-ups began that were not told of it.

    `wrong` are look-ups that led elsewhere or to an old value, `lost` those that found nothing, in the whole run and
    after it; also contested names that lead to a loser, or that nobody got. `duplicates` are sessions that got a name
    which another one had. `unverified` are names whose last look-up was not answered. `bytes_per_key` is what one copy
    of a name takes in Redis, with its share of the index.
    """

    keys: int
    lookups: int
    mean_us: float | None
    p50_us: float | None
    p99_us: float | None
    own: Lookups
    cache: Lookups
    redis: Lookups
    finds_per_s: float | None
    find_ms: Percentiles
    find_local_ms: Percentiles
    find_remote_ms: Percentiles
    update_ms: Percentiles
    cycle_ms: Percentiles
    register_ms: Percentiles
    stale_ms: Percentiles
    wrong: int
    lost: int
    duplicates: int
    unverified: int
    contested: int
    contest_attempts: int
    stored_keys: int | None
    bytes_per_key: float | None


class Monitoring(msgspec.Struct, frozen=True, kw_only=True):
    """What it took to watch the run with Prometheus, in the hold.

    Each of the `_cores` is processors on average: what Prometheus and all node_exporters count of themselves, and what
    servers and generators count of making their answers. `machine_share` is all of that as a share of the processors
    of a machine, of the one with the largest share; the hosts of a lab and its controller are one machine.
    """

    scrapes: int
    scrapes_failed: int
    prometheus_cores: float | None
    node_exporter_cores: float | None
    answering_cores: float | None
    machine_share: float | None


class Rule(msgspec.Struct, frozen=True):
    """A rule and what it was held against; `interval` is where `actual` lies with 95% confidence, if it is a sample."""

    name: str
    metric: str
    phase: str
    op: str
    limit: float | None
    actual: float | None
    samples: int
    passed: bool
    interval: Interval | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the hold with a rate of its own: the messages that were intended in it, whenever they were answered.

    `rules` are those of the run that a stage can be held against by itself. One that is not `judged` has none: it lets
    servers and generators settle at the rate of the next.
    """

    name: str
    rate_per_s: float
    started_at: float
    seconds: int
    judged: bool
    held_min: int | None
    messages: Messages
    latency_ms: Percentiles
    slip_ms: Percentiles
    server_cpu_us_per_message: float | None
    loadgen_cpu_us_per_message: float | None
    rules: list[Rule]

    def samples_behind(self, metric: str) -> int:
        """Messages, or seconds where connections were counted."""
        return self.seconds if metric.startswith("connections.") else self.messages.intended

    @property
    def passed(self) -> bool:
        return self.judged and all(rule.passed for rule in self.rules)


class Stages(msgspec.Struct, frozen=True):
    """The stages of the hold in their order, and how many of the judged ones kept to the rules.

    `confirmed_per_s` is the highest rate that had two stages or more, all of which did; 0 when there is none.
    """

    judged: int
    passed: int
    confirmed_per_s: float
    each: list[Stage]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as judged from its raw files. `warnings` tell what went wrong beside it, without touching it."""

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
    away_ms: Percentiles | None = None
    stateless_ms: Percentiles | None = None
    server: Server
    loadgen: LoadGenerator
    ledger: Ledger
    kernel: Kernel
    fan_out: FanOut | None = None
    churn: Churn | None = None
    storm: Storm | None = None
    heartbeats: Heartbeats | None = None
    calls: list[Call] = []
    cluster: Cluster | None = None
    recovery: list[Recovery] = []
    state_loss: list[StateLoss] = []
    writes: Operations | None = None
    registry: Registry | None = None
    stages: Stages | None = None
    state: State | None = None
    monitoring: Monitoring | None = None
    rules: list[Rule]
    validity: list[Rule]
    not_judged: list[str] = []
    verdict: Verdict
    reasons: list[str]
    warnings: list[str] = []


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of `run.json`."""
    schema = msgspec.json.schema(Run)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "c100k run.json", **schema}

"""Raw files of a small run, written in the formats that the hosts write, for tests to bend."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from c100k import run_directory
from c100k.run_directory import RunDirectory

START = 1_795_000_000
RAMP_S, SETTLE_S, HOLD_S = 2, 1, 10
HOLD = range(START + RAMP_S + SETTLE_S, START + RAMP_S + SETTLE_S + HOLD_S)
SECONDS = range(START - 4, HOLD.stop + 1)

SLA: list[dict[str, Any]] = [
    {"name": "p95 response time (ms)", "metric": "latency_ms.p95", "op": "<", "limit": 100, "when": "c100k_rate_per_s"},
    {"name": "error rate", "metric": "messages.error_rate", "op": "<", "limit": 0.0005, "when": "c100k_rate_per_s"},
    {
        "name": "notifications delivered",
        "metric": "fan_out.delivered",
        "op": "==",
        "limit": "fan_out.listeners",
        "when": "c100k_fan_out_every_s",
    },
    {"name": "peak connections", "metric": "connections.peak", "op": ">=", "limit": "connections.target"},
    {"name": "unexplained closes", "metric": "connections.unexplained_closes", "op": "==", "limit": 0},
]
VALIDITY: list[dict[str, Any]] = [
    {"name": "generator workers lost", "metric": "loadgen.worker_deaths", "op": "==", "limit": 0},
    {"name": "ledger disagreement", "metric": "ledger.disagreement_share", "op": "<=", "limit": 0.001},
    {
        "name": "lateness of the publishers",
        "metric": "fan_out.slip_max_ms",
        "op": "<",
        "limit": 50,
        "when": "c100k_fan_out_every_s",
    },
    {"name": "ledger coverage", "metric": "ledger.coverage", "op": ">=", "limit": 0.9},
]


#: A publish half a second into each five seconds of the hold.
FAN_OUT_EVERY_S = 5
MOMENTS = [HOLD.start + 0.5 + start for start in range(0, HOLD_S, FAN_OUT_EVERY_S)]


@dataclass
class RawHost:
    """What one host writes, by the second: change the figures of a second, or leave it out, then `write`.

    `heard` and `published` are rows of fan-outs, if there are any. `plan` is added to that of the generator, `others`
    are rows of further files, the first of them their columns, and `logged_us` values under further tags of the hold.
    """

    name: str
    connections: int = 100
    client: dict[int, int] = field(default_factory=dict)
    server: dict[int, int] = field(default_factory=dict)
    kernel: dict[int, int] = field(default_factory=dict)
    redis: dict[int, int] = field(default_factory=dict)
    away: dict[int, int] = field(default_factory=dict)
    reopening: dict[int, int] = field(default_factory=dict)
    causes: list[tuple[Any, ...]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    workers: list[dict[str, Any]] = field(default_factory=list)
    response_us: list[int] = field(default_factory=lambda: [2000] * 50)
    response_us_at: dict[int, list[int]] = field(default_factory=dict)
    stop_reason: str = "completed"
    unanswered: int = 0
    rate_per_s: int = 50
    heard: list[list[Any]] = field(default_factory=list)
    published: list[list[Any]] = field(default_factory=list)
    plan: dict[str, Any] = field(default_factory=dict)
    others: dict[str, list[Any]] = field(default_factory=dict)
    logged_us: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for t in SECONDS:
            held = self.connections if START + RAMP_S <= t < HOLD.stop else 0
            self.client[t], self.server[t], self.kernel[t] = held, held, 7 + 2 * held
        self.workers = [{"index": 0, "pid": 4321, "connections": self.connections, "exit_code": 0, "died_at": None}]

    def write(self, run: RunDirectory) -> None:
        directory = run.host(self.name)
        directory.mkdir(parents=True)
        self._write_client(directory)
        _write_csv(
            directory / f"{self.name}-w0-causes.csv", ("t", "phase", "kind", "target", "cause", "count"), self.causes
        )
        rows = [
            (t, sockets + self.redis.get(t, 0), "" if t % 5 else self.redis.get(t, 0))
            for t, sockets in self.kernel.items()
        ]
        _write_csv(directory / "kernel.csv", ("t", "tcp_inuse", "tcp_redis"), rows)
        self._write_server(directory)
        if self.heard:
            columns = "moment target listeners delivered duplicated last_ms"
            _write_csv(directory / f"{self.name}-w0-fan-out.csv", columns.split(), self.heard)
            _write_csv(
                directory / f"{self.name}-w0-publishes.csv",
                ["moment", "target", "slip_ms", "answered_ms", "cause"],
                self.published,
            )
        for name, (columns, *rows) in self.others.items():
            _write_csv(directory / f"{self.name}-w0-{name}.csv", columns, rows)
        (directory / "server.jsonl").write_text("".join(json.dumps(event) + "\n" for event in self.events))
        (directory / "generator.json").write_text(json.dumps(self._generator()))
        self._write_histograms(run.histograms / f"{self.name}-w0-hold.hlog")

    def _write_client(self, directory: Path) -> None:
        columns = "t phase connected opened connect_errors closed intended sent answered errors timeouts"
        rows = []
        for t, connected in self.client.items():
            sent = self.rate_per_s if t in HOLD else 0
            answered = sent - (self.unanswered if t == HOLD.start else 0)
            phase = "hold" if t in HOLD else "ramp"
            own = 1.5, (t - START) * 0.01, 20_000_000, self.away.get(t, 0), self.reopening.get(t, 0)
            rows.append((t, phase, connected, 0, 0, 0, sent, sent, answered, 0, 0, *own))
        header = (*columns.split(), "loop_lag_max_ms", "cpu_s", "rss_bytes", "away", "reopening")
        _write_csv(directory / f"{self.name}-w0-seconds.csv", header, rows)

    def _write_server(self, directory: Path) -> None:
        columns = "t worker up connections opened closed received sent errors cpu_s rss_bytes gc_pause_max_s"
        rows = []
        for t, connections in self.server.items():
            received = 50 * (t - START)
            rows.append((t, "0", 1, connections, 0, 0, received, received, 0, (t - START) * 0.001, 2**24, 0.002))
            rows.append((t, "parent", 1, 0, 0, 0, 0, 0, 0, 0.5, 2**23, 0))
        _write_csv(directory / "server.csv", columns.split(), rows)

    def _generator(self) -> dict[str, Any]:
        plan: dict[str, Any] = {"start_at": START, "ramp_s": RAMP_S, "settle_s": SETTLE_S, "hold_s": HOLD_S}
        plan |= self.plan
        if self.heard:
            plan["fan_out"] = {"every_s": FAN_OUT_EVERY_S, "publish_to": ["the other"]}
        return {
            "plan": plan,
            "ended_at": HOLD.stop + 0.4,
            "stop_reason": self.stop_reason,
            "workers": self.workers,
            "versions": {"python": "3.11.2"},
        }

    def _write_histograms(self, path: Path) -> None:
        with path.open("w") as log:
            log.write("#[Histogram log format version 1.3]\n")
            for t in HOLD:
                for tag in ("response", "service", "slip"):
                    histogram = HdrHistogram(1, 3_600_000_000, 3)
                    unanswered = self.unanswered if t == HOLD.start and tag != "slip" else 0
                    values = self.response_us_at.get(t, self.response_us)
                    for value in values[unanswered:] if self.rate_per_s else ():
                        histogram.record_value(value)
                    log.write(f"Tag={tag},{t}.000,1.000,2.0,{histogram.encode().decode()}\n")
                for tag, values in self.logged_us.items() if t == HOLD.start else ():
                    histogram = HdrHistogram(1, 3_600_000_000, 3)
                    for value in values:
                        histogram.record_value(value)
                    log.write(f"Tag={tag},{t}.000,1.000,2.0,{histogram.encode().decode()}\n")
                if self.heard and t + 0.5 in MOMENTS:
                    histogram = HdrHistogram(1, 3_600_000_000, 3)
                    histogram.record_value(40_000, self.connections)
                    log.write(f"Tag=fan_out,{t}.000,1.000,2.0,{histogram.encode().decode()}\n")

    def listen(self) -> None:
        """Carry no messages; hear of every publish at the other host, after 80 ms at the latest."""
        self.rate_per_s = 0
        self.heard = [[moment, "the other", self.connections, self.connections, 0, 80.0] for moment in MOMENTS]
        self.published = [[moment, "the other", 2.5, 4.0, ""] for moment in MOMENTS]
        for counts, publishers in ((self.client, 1), (self.server, 1), (self.kernel, 2)):
            for t in range(START + RAMP_S, HOLD.stop):
                counts[t] += publishers


def _write_csv(path: Path, header: Any, rows: Any) -> None:
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(header)
        writer.writerows(rows)


@dataclass
class RawRun:
    """A run of two hosts that holds 200 connections and would pass; `write` makes its directory."""

    root: Path
    hosts: list[RawHost]
    connections: int = 200
    sla: list[dict[str, Any]] = field(default_factory=lambda: list(SLA))
    transport: str = "tcp"
    connection: str = "session"
    settings: dict[str, Any] = field(default_factory=lambda: {"c100k_rate_per_s": 100, "c100k_fan_out_every_s": 0})
    scenario: str = "load"

    def listen(self) -> None:
        """Make it a run of listeners, which have fan-outs and no messages."""
        self.transport, self.connection = "http", "listen"
        self.settings = {"c100k_rate_per_s": 0, "c100k_fan_out_every_s": FAN_OUT_EVERY_S}
        for host in self.hosts:
            host.listen()

    def write(self) -> RunDirectory:
        plan = {
            "scenario": self.scenario,
            "created_at": START - 10.0,
            "substrate": "lab",
            "protocol": "2025-11-25",
            "transport": self.transport,
            "connection": self.connection,
            "hosts": [
                {"name": host.name, "address": "10.0.0.1", "groups": ["servers", "loadgens"]} for host in self.hosts
            ],
            "sla": self.sla,
            "validity": VALIDITY,
            "settings": {"c100k_connections": self.connections, **self.settings},
        }
        run = run_directory.create(self.root, f"20261118T110000Z-{self.scenario}", plan)
        for host in self.hosts:
            host.write(run)
        return run


@pytest.fixture
def raw_run(tmp_path: Path) -> RawRun:
    return RawRun(tmp_path / "runs", [RawHost("node1"), RawHost("node2")])

"""The raw files of one host, read as they are: missing stays missing, a line cut short by a crash is left out."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from c100k.raw_csv import complete_rows
from c100k.run_directory import RunDirectory

#: What the sampler calls the process that only looks after the server's workers.
PARENT = "parent"

#: A session goes back to a target that has returned.
REBALANCE = "rebalance"

#: Causes of closes that the plan of a generator asks for: the end, churn, a reconnect storm, and sessions that go
#: back.
ON_PURPOSE = ("stop", "churn", "storm", REBALANCE)

#: What went wrong with a message that servers refused for want of state until its time was over.
STATE_UNAVAILABLE = "state_unavailable"

_CLIENT_SUMS = ("connected", "opened", "connect_errors", "closed", "intended", "sent", "answered", "errors", "timeouts")


@dataclass(frozen=True, order=True)
class Cause:
    """`count` events of one kind in one second: a refused connect, a close, or a message that went wrong."""

    t: int
    host: str
    phase: str
    kind: str
    target: str
    cause: str
    count: int


class ClientSecond(NamedTuple):
    """What one host's generator did in the second from `t`, over its workers that reported it.

    `away` sessions had no connection at its end, and `reopening` ones had none because the plan had closed it.
    """

    t: int
    phase: str
    workers: int
    counts: dict[str, int]
    away: int
    reopening: int
    loop_lag_max_ms: float
    cpu_s: float
    rss_bytes: int


class ServerSecond(NamedTuple):
    """What one host's server showed at `t`: counts over its workers, cost with its parent process.

    `received` and `cpu_s` never fall: they include what workers counted that have died since.
    """

    t: int
    connections: int
    received: int
    cpu_s: float
    rss_bytes: int
    gc_pause_max_s: float


@dataclass(frozen=True)
class HostSamples:
    """All that one host left behind, by the second."""

    name: str
    generator: dict[str, Any] | None
    client: dict[int, ClientSecond]
    causes: list[Cause]
    server: dict[int, ServerSecond]
    kernel: dict[int, dict[str, float]]
    events: list[dict[str, Any]]
    facts: dict[str, Any]
    heard: list[dict[str, str]]
    published: list[dict[str, str]]

    @property
    def plan(self) -> dict[str, Any]:
        """The plan that its generator carried out, empty when there was none."""
        return self.generator["plan"] if self.generator else {}


def read_host(run: RunDirectory, name: str) -> HostSamples:
    """Read what `hosts/<name>/` holds."""
    directory = run.host(name)
    return HostSamples(
        name=name,
        generator=_json(directory / "generator.json"),
        client=_client(directory),
        causes=_causes(directory, name),
        server=_server(directory / "server.csv"),
        kernel=read_kernel(run, name),
        events=_events(directory / "server.jsonl"),
        facts=_json(directory / "facts.json") or {},
        heard=[row for path in sorted(directory.glob("*-fan-out.csv")) for row in complete_rows(path)],
        published=[row for path in sorted(directory.glob("*-publishes.csv")) for row in complete_rows(path)],
    )


def read_kernel(run: RunDirectory, name: str) -> dict[int, dict[str, float]]:
    """What the kernel of one host counted, by the second.

    Runs from before the sockets of Redis were counted by themselves have no column of them; it is zero then.
    """
    rows = complete_rows(run.host(name) / "kernel.csv")
    return {int(row["t"]): row for row in _numbers({"tcp_redis": "0", **row} for row in rows)}


def _json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return value if isinstance(value, dict) else None


def _numbers(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, float]]:
    """Rows as numbers; a cell that holds none is left out."""
    for row in rows:
        yield {name: float(cell) for name, cell in row.items() if cell}


def _client(directory: Path) -> dict[int, ClientSecond]:
    by_second: dict[int, list[dict[str, str]]] = defaultdict(list)
    for path in sorted(directory.glob("*-seconds.csv")):
        for row in complete_rows(path):
            by_second[int(row["t"])].append(row)
    return {
        t: ClientSecond(
            t=t,
            phase=rows[-1]["phase"],
            workers=len(rows),
            counts={name: sum(int(row[name]) for row in rows) for name in _CLIENT_SUMS},
            away=sum(int(row.get("away") or 0) for row in rows),
            reopening=sum(int(row.get("reopening") or 0) for row in rows),
            loop_lag_max_ms=max(float(row["loop_lag_max_ms"] or 0) for row in rows),
            cpu_s=sum(float(row["cpu_s"]) for row in rows),
            rss_bytes=sum(int(row["rss_bytes"]) for row in rows),
        )
        for t, rows in sorted(by_second.items())
    }


def _causes(directory: Path, host: str) -> list[Cause]:
    return sorted(
        Cause(int(row["t"]), host, row["phase"], row["kind"], row["target"], row["cause"], int(row["count"]))
        for path in directory.glob("*-causes.csv")
        for row in complete_rows(path)
    )


def _server(path: Path) -> dict[int, ServerSecond]:
    by_second: dict[int, list[dict[str, str]]] = defaultdict(list)
    for row in complete_rows(path):
        by_second[int(row["t"])].append(row)
    received, cpu_s = _Grown(), _Grown()
    found = {}
    for t, rows in sorted(by_second.items()):
        for row in rows:
            cpu_s.add(row["worker"], float(row["cpu_s"] or 0))
            if row["worker"] != PARENT:
                received.add(row["worker"], float(row["received"] or 0))
        found[t] = ServerSecond(
            t=t,
            connections=sum(int(float(row["connections"] or 0)) for row in rows if row["worker"] != PARENT),
            received=int(received.total),
            cpu_s=cpu_s.total,
            rss_bytes=sum(int(float(row["rss_bytes"] or 0)) for row in rows),
            gc_pause_max_s=max(float(row["gc_pause_max_s"] or 0) for row in rows),
        )
    return found


class _Grown:
    """The sum of counters, each of which begins at 0 again when its process is started anew."""

    def __init__(self) -> None:
        self.total = 0.0
        self._last: dict[str, float] = {}

    def add(self, process: str, value: float) -> None:
        last = self._last.get(process, 0.0)
        self.total += value - last if value >= last else value
        self._last[process] = value


def _events(path: Path) -> list[dict[str, Any]]:
    """The server's own log: lines that are JSON objects with a time and an event."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(event, dict) and "t" in event and "event" in event:
            found.append(event)
    return found

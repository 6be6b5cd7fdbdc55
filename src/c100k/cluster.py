"""How the cluster came up before the load: which nodes were ready, and which sessions other nodes could reach."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from c100k.record import Cluster
from c100k.run_directory import RunDirectory, RunDirectoryError
from c100k.samples import HostSamples

T = TypeVar("T")


class Formation(msgspec.Struct, frozen=True):
    """`formation.json`: when all servers were about to be stopped and started."""

    began_at: float
    nodes: list[str]


class Route(msgspec.Struct, frozen=True):
    """An entry of `routes.json`: a session of `origin`, sent to and carried on from `node`, or the problem with it."""

    origin: str
    node: str
    message_ms: float | None
    resume_ms: float | None
    problem: str | None


def judge(run: RunDirectory, hosts: Sequence[HostSamples], faults_planned: int, faults: int) -> Cluster | None:
    """What the playbook saw; nothing for a run that formed no cluster.

    Raises:
        RunDirectoryError: when its record is malformed.
    """
    formation = _read(run.formation, Formation)
    if formation is None:
        return None
    routes = _read(run.routes, list[Route]) or []
    pairs = len(formation.nodes) * (len(formation.nodes) - 1)
    reached = [route for route in routes if route.problem is None]
    nodes = [host for host in hosts if host.name in formation.nodes]
    started = [_first(host, "worker_started", formation.began_at) for host in nodes]
    ready = [t for host in nodes if (t := _first(host, "listening", formation.began_at)) is not None]
    first = min((t for t in started if t is not None), default=formation.began_at)
    return Cluster(
        nodes=len(formation.nodes),
        nodes_ready=len(ready),
        formed_s=max(ready) - first if ready and len(ready) == len(formation.nodes) else None,
        routes=pairs,
        # One that was not tried was not reached.
        routes_failed=pairs - len(reached),
        message_max_ms=max((route.message_ms for route in reached if route.message_ms is not None), default=None),
        resume_max_ms=max((route.resume_ms for route in reached if route.resume_ms is not None), default=None),
        problems=[f"{route.origin} to {route.node}: {route.problem}" for route in routes if route.problem],
        faults_planned=faults_planned,
        faults=faults,
    )


def _first(host: HostSamples, event: str, since: float) -> float | None:
    """When the log of its server first said so."""
    return min(
        (float(each["t"]) for each in host.events if each["event"] == event and each["t"] >= since), default=None
    )


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RunDirectoryError(f"{path} is malformed: {error}.") from None

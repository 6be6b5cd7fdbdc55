"""What server and generator cost during the hold, and what the kernels counted, from the rows of each second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from c100k.record import Kernel, LoadGenerator, Percentiles, ProcessCost, Server
from c100k.samples import ClientSecond, HostSamples, ServerSecond

S = TypeVar("S", ClientSecond, ServerSecond)


def server_cost(hosts: Sequence[HostSamples], hold: range, answered: int) -> Server:
    """Server CPU over messages received, and memory over connections, on each host and in all."""
    # Where nothing was to be answered, what servers received are no messages that their CPU was spent on.
    by_host = {
        host.name: _cost(
            host.server,
            hold,
            lambda second: second.connections,
            _received(host, hold) if answered else None,
            _gc_pause(host, hold),
        )
        for host in hosts
    }
    received = sum(_received(host, hold) or 0 for host in hosts) if answered else 0
    deaths = sum(event["event"] == "worker_died" for host in hosts for event in host.events)
    connections = sum(_most(host.server, hold, lambda second: second.connections) for host in hosts)
    return Server(_total(by_host, connections, received or answered), by_host, deaths)


def generator_cost(hosts: Sequence[HostSamples], hold: range, slip: Percentiles) -> LoadGenerator:
    """Generator CPU over messages answered, and memory over connections, on each host and in all."""
    by_host = {
        host.name: _cost(host.client, hold, lambda second: second.counts["connected"], _answered(host, hold), None)
        for host in hosts
    }
    workers = [worker for host in hosts if host.generator for worker in host.generator["workers"]]
    connections = sum(_most(host.client, hold, lambda second: second.counts["connected"]) for host in hosts)
    return LoadGenerator(
        total=_total(by_host, connections, sum(_answered(host, hold) for host in hosts)),
        by_host=by_host,
        slip_ms=slip,
        loop_lag_max_ms=max(
            (second.loop_lag_max_ms for host in hosts for second in _inside(host.client, hold)), default=None
        ),
        workers=len(workers),
        worker_deaths=sum(worker["died_at"] is not None for worker in workers),
        unfinished_hosts=sum(host.generator is None or host.generator["stop_reason"] != "completed" for host in hosts),
    )


def _answered(host: HostSamples, hold: range) -> int:
    return sum(second.counts["answered"] for second in _inside(host.client, hold))


def _received(host: HostSamples, hold: range) -> int | None:
    inside = _inside(host.server, hold)
    return inside[-1].received - inside[0].received if len(inside) > 1 else None


def _gc_pause(host: HostSamples, hold: range) -> float | None:
    inside = _inside(host.server, hold)
    return max(second.gc_pause_max_s for second in inside) * 1000 if inside else None


def _inside(seconds: Mapping[int, S], hold: range) -> list[S]:
    return [second for t, second in sorted(seconds.items()) if t in hold]


def _most(seconds: Mapping[int, S], hold: range, count: Callable[[S], int]) -> int:
    return max((count(second) for second in _inside(seconds, hold)), default=0)


def _cost(
    seconds: Mapping[int, S],
    hold: range,
    connections: Callable[[S], int],
    messages: int | None,
    gc_pause_max_ms: float | None,
) -> ProcessCost:
    """CPU between the first and last row of the hold; memory at its largest, and above the idle first row."""
    inside = _inside(seconds, hold)
    if len(inside) < 2:
        return ProcessCost(None, None, None, None, None)
    cpu_s = inside[-1].cpu_s - inside[0].cpu_s
    rss = max(second.rss_bytes for second in inside)
    idle = seconds[min(seconds)].rss_bytes
    most = max(connections(second) for second in inside)
    return ProcessCost(
        rss_bytes=rss,
        rss_per_connection_bytes=(rss - idle) / most if most else None,
        cpu_s=cpu_s,
        cpu_us_per_message=cpu_s / messages * 1e6 if messages else None,
        gc_pause_max_ms=gc_pause_max_ms,
    )


def _total(by_host: Mapping[str, ProcessCost], connections: int, messages: int) -> ProcessCost:
    """Sums over the hosts; `None` as soon as one host has no figure."""
    costs = list(by_host.values())
    rss = _sum(cost.rss_bytes for cost in costs)
    cpu_s = _sum(cost.cpu_s for cost in costs)
    own = [cost.rss_per_connection_bytes for cost in costs]
    known = [figure for figure in own if figure is not None]
    pauses = [cost.gc_pause_max_ms for cost in costs if cost.gc_pause_max_ms is not None]
    return ProcessCost(
        rss_bytes=None if rss is None else int(rss),
        rss_per_connection_bytes=sum(known) / len(known) if known and connections else None,
        cpu_s=cpu_s,
        cpu_us_per_message=cpu_s / messages * 1e6 if cpu_s is not None and messages else None,
        gc_pause_max_ms=max(pauses, default=None),
    )


def _sum(figures: Iterable[float | None]) -> float | None:
    total = 0.0
    for figure in figures:
        if figure is None:
            return None
        total += figure
    return total


def kernel_growth(hosts: Iterable[HostSamples], start: float, end: float) -> Kernel:
    """How far the kernels' drop counters rose from before the load to the end of the hold."""
    overflows = drops = 0
    full = False
    for host in hosts:
        rows: list[dict[str, Any]] = [row for t, row in sorted(host.kernel.items()) if t <= end]
        before = [row for row in rows if row["t"] < start] or rows[:1]
        if not rows:
            continue
        overflows += int(rows[-1].get("listen_overflows", 0) - before[-1].get("listen_overflows", 0))
        drops += int(rows[-1].get("listen_drops", 0) - before[-1].get("listen_drops", 0))
        full = full or any(0 < row.get("conntrack_max", 0) <= row.get("conntrack_count", 0) for row in rows)
    return Kernel(overflows, drops, full)

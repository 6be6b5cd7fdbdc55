"""What each host had left and what it gave during the hold, from the rows of each second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from c100k.record import ProcessCost, Run
from c100k.run_directory import RunDirectory
from c100k.samples import read_kernel

Share = tuple[float, float | None]


@dataclass(frozen=True)
class HostUse:
    """One host. Shares are of all its processors; `cores` are processors' worth of CPU on average over the hold.

    A figure is `None` where the host gave no counts, and a program's are where it did not run.
    """

    name: str
    cores: int | None
    memory_bytes: int | None
    busy_mean: float | None
    busy_max: float | None
    busy: Sequence[Share]
    memory_available_min_bytes: int | None
    server: ProcessCost | None
    server_cores: float | None
    generator: ProcessCost | None
    generator_cores: float | None
    listen_drops: int | None


def by_host(run: Run, directory: RunDirectory) -> list[HostUse]:
    """All hosts, in the order of the plan."""
    hold = next((phase for phase in run.phases if phase.name == "hold"), None)
    start, end = (hold.started_at, hold.ended_at) if hold else (0.0, 0.0)
    found = []
    for host in run.hosts:
        kernel = read_kernel(directory, host.name)
        held = [row for t, row in sorted(kernel.items()) if start <= t < end]
        busy = _busy(kernel)
        in_hold = [share for t, share in busy if start <= t < end and share is not None]
        available = [int(row["mem_available_bytes"]) for row in held if "mem_available_bytes" in row]
        server, generator = run.server.by_host.get(host.name), run.loadgen.by_host.get(host.name)
        found.append(
            HostUse(
                name=host.name,
                cores=host.facts.get("cores"),
                memory_bytes=host.facts.get("memory_bytes"),
                busy_mean=sum(in_hold) / len(in_hold) if in_hold else None,
                busy_max=max(in_hold, default=None),
                busy=busy,
                memory_available_min_bytes=min(available, default=None),
                server=server,
                server_cores=_cores(server, end - start),
                generator=generator,
                generator_cores=_cores(generator, end - start),
                listen_drops=_growth(list(kernel.values()), ("listen_drops", "listen_overflows")),
            )
        )
    return found


def _busy(kernel: Mapping[int, Mapping[str, float]]) -> list[Share]:
    """The share of its processors that a host used in each second."""
    found: list[Share] = []
    before: Mapping[str, float] | None = None
    for t, row in sorted(kernel.items()):
        if not {"cpu_busy_s", "cpu_total_s"} <= row.keys():
            continue
        if before is not None and (passed := row["cpu_total_s"] - before["cpu_total_s"]) > 0:
            found.append((float(t), (row["cpu_busy_s"] - before["cpu_busy_s"]) / passed))
        before = row
    return found


def _cores(cost: ProcessCost | None, hold_s: float) -> float | None:
    return cost.cpu_s / hold_s if cost and cost.cpu_s is not None and hold_s > 0 else None


def _growth(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> int | None:
    """How far counters rose, all together."""
    if not rows or not all(name in row for row in (rows[0], rows[-1]) for name in names):
        return None
    return sum(int(rows[-1][name] - rows[0][name]) for name in names)

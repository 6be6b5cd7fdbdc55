"""The ledger: every second, on every host, how many connections the client, the server and the kernel count.

The kernel's column is `/proc/net/sockstat` ("TCP: inuse") less what was in use before the first connect. Both ends of
the load lie on the run's own hosts, so per host `kernel = client + server`, and over all hosts `client = server`.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from c100k.record import Ledger
from c100k.samples import HostSamples

#: A difference counts when it lasts: the three counts are not read in the same microsecond.
SUSTAINED_S = 3

#: The idle count is that of the last so many seconds before the ramp.
IDLE_S = 3


@dataclass(frozen=True)
class Entry:
    """One host in the second `t`; a count that was not given is `None`."""

    t: int
    host: str
    client: int | None
    server: int | None
    kernel: int | None

    @property
    def complete(self) -> bool:
        return None not in (self.client, self.server, self.kernel)


def entries(
    hosts: Sequence[HostSamples], servers: frozenset[str], loadgens: frozenset[str], started_at: float
) -> list[Entry]:
    """All entries, ordered by second and host. A host that plays no part at one end has a count of zero there."""
    seconds = sorted({t for host in hosts for t in (*host.client, *host.kernel)})
    idle = {host.name: _idle(host, started_at) for host in hosts}
    return [
        Entry(
            t=t,
            host=host.name,
            client=_client(host, t) if host.name in loadgens else 0,
            server=_server(host, t) if host.name in servers else 0,
            kernel=_kernel(host, t, idle[host.name]),
        )
        for t in seconds
        for host in hosts
    ]


def _idle(host: HostSamples, started_at: float) -> float | None:
    """Sockets in use just before the load began, when all listeners of the run were up: the median of those seconds."""
    before = [row["tcp_inuse"] for t, row in sorted(host.kernel.items()) if t < started_at and "tcp_inuse" in row]
    return statistics.median_low(before[-IDLE_S:]) if before else None


def _client(host: HostSamples, t: int) -> int | None:
    second = host.client.get(t)
    return second.counts["connected"] if second else None


def _server(host: HostSamples, t: int) -> int | None:
    second = host.server.get(t)
    return second.connections if second else None


def _kernel(host: HostSamples, t: int, idle: float | None) -> int | None:
    row = host.kernel.get(t)
    if row is None or idle is None or "tcp_inuse" not in row:
        return None
    return max(0, int(row["tcp_inuse"] - idle))


@dataclass(frozen=True)
class Total:
    """All hosts in the second `t`. `kernel` is in connections: half of the sockets, as both ends are counted.

    The connections of the publishers are in all three counts, but are not what is held.
    """

    t: int
    client: int
    server: int
    kernel: int
    disagreement: int
    publishers: int = 0

    @property
    def held(self) -> int:
        return max(0, min(self.client, self.server, self.kernel) - self.publishers)


def totals(ledger: Iterable[Entry], publishers: int = 0) -> list[Total]:
    """The seconds for which every host gave all its counts."""
    by_second: dict[int, list[Entry]] = {}
    for entry in ledger:
        by_second.setdefault(entry.t, []).append(entry)
    return [
        _total(t, group, publishers) for t, group in sorted(by_second.items()) if all(entry.complete for entry in group)
    ]


def _total(t: int, group: list[Entry], publishers: int) -> Total:
    client = sum(entry.client or 0 for entry in group)
    server = sum(entry.server or 0 for entry in group)
    sockets = sum(entry.kernel or 0 for entry in group)
    by_host = (abs((entry.kernel or 0) - (entry.client or 0) - (entry.server or 0)) for entry in group)
    return Total(t, client, server, (sockets + 1) // 2, max(abs(client - server), *by_host), publishers)


def judge(hold: Sequence[Total], hold_s: int, target: int) -> Ledger:
    """How well the counts agree over the hold; `hold` are its complete seconds, `hold_s` how many there should be."""
    differences = [second.disagreement for second in hold]
    windows = [differences[start : start + SUSTAINED_S] for start in range(max(1, len(differences) - SUSTAINED_S + 1))]
    disagreement = max((min(window) for window in windows if window), default=None)
    return Ledger(
        seconds=len(hold),
        coverage=len(hold) / hold_s if hold_s else 0.0,
        disagreement=disagreement,
        disagreement_share=None if disagreement is None else disagreement / target,
    )


def write(path: Path, ledger: Iterable[Entry]) -> None:
    """`ledger.csv`: t,host,client,server,kernel; an empty cell is a count that was not given."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("t", "host", "client", "server", "kernel"))
        writer.writerows((entry.t, entry.host, entry.client, entry.server, entry.kernel) for entry in ledger)

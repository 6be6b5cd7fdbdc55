"""The ledger: every second, on every host, how many connections the client, the server and the kernel count.

The kernel's column is `/proc/net/sockstat` ("TCP: inuse") less the sockets of Redis, whose number changes with each
failover, and less what else was in use before the first connect. The sockets of Redis are counted every few seconds:
the nearest count is off for less than `SUSTAINED_S` when their number changes. Both ends of the load lie on the
run's own hosts, so per host `kernel = client + server`, and over all hosts `client = server`.

A server that was killed on purpose counts nothing, and has nothing: that is known, and written as 0.

Connections that the plan closes and opens again (churn, a storm) are held meanwhile, until they are overdue. The counts
of a second are read at its beginning by server and kernel and at its end by the client, so each of these may lie
anywhere between what the client had at either, and off by as many as were on their way.
"""

from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from c100k.outages import Outage
from c100k.record import Ledger
from c100k.samples import REBALANCE, HostSamples

#: A difference counts when it lasts: the three counts are not read in the same microsecond.
SUSTAINED_S = 3

#: Where the count of the sockets of Redis that is nearest to a second is looked for; the sampler counts every 5 s, and
#: one count may be missing.
REDIS_NEAR_S = (0, -1, 1, -2, 2, -3, 3, -4, 4, -5, 5)

#: The idle count is that of the last so many seconds before the ramp.
IDLE_S = 3


@dataclass(frozen=True)
class Entry:
    """One host in the second `t`; a count that was not given is `None`. `moving` of its sessions had no connection, or
    went from one to the next; `reopening` of its connections the plan had closed, and they were not back at its end."""

    t: int
    host: str
    client: int | None
    server: int | None
    kernel: int | None
    moving: int
    reopening: int = 0

    @property
    def complete(self) -> bool:
        return None not in (self.client, self.server, self.kernel)


def entries(
    hosts: Sequence[HostSamples],
    servers: frozenset[str],
    loadgens: frozenset[str],
    started_at: float,
    outages: Sequence[Outage] = (),
) -> list[Entry]:
    """All entries, ordered by second and host. A host that plays no part at one end has a count of zero there."""
    seconds = sorted({t for host in hosts for t in (*host.client, *host.kernel)})
    idle = {host.name: _idle(host, started_at) for host in hosts}
    moves = {host.name: _moves(host) for host in hosts}
    return [
        Entry(
            t=t,
            host=host.name,
            client=_client(host, t) if host.name in loadgens else 0,
            server=_server(host, t, outages) if host.name in servers else 0,
            kernel=_kernel(host, t, idle[host.name]),
            moving=(host.client[t].away if t in host.client else 0) + moves[host.name][t],
            reopening=host.client[t].reopening if t in host.client else 0,
        )
        for t in seconds
        for host in hosts
    ]


def _moves(host: HostSamples) -> Counter[int]:
    """How many sessions went back to another target, by second."""
    counts: Counter[int] = Counter()
    for each in host.causes:
        if (each.kind, each.cause) == ("close", REBALANCE):
            counts[each.t] += each.count
    return counts


def _idle(host: HostSamples, started_at: float) -> float | None:
    """Sockets in use just before the load began, when all listeners of the run were up: the median of those seconds."""
    before = [_sockets(host, t) for t in sorted(host.kernel) if t < started_at]
    known = [sockets for sockets in before if sockets is not None]
    return statistics.median_low(known[-IDLE_S:]) if known else None


def _sockets(host: HostSamples, t: int) -> float | None:
    """What is in use, without what is of Redis."""
    near = (host.kernel.get(t + offset, {}).get("tcp_redis") for offset in REDIS_NEAR_S)
    redis = next((count for count in near if count is not None), None)
    used = host.kernel.get(t, {}).get("tcp_inuse")
    return None if used is None or redis is None else used - redis


def _client(host: HostSamples, t: int) -> int | None:
    second = host.client.get(t)
    return second.counts["connected"] if second else None


def _server(host: HostSamples, t: int, outages: Iterable[Outage]) -> int | None:
    second = host.server.get(t)
    if second is None and any(outage.host == host.name and outage.is_dead(t) for outage in outages):
        return 0
    return second.connections if second else None


def _kernel(host: HostSamples, t: int, idle: float | None) -> int | None:
    sockets = _sockets(host, t)
    return None if sockets is None or idle is None else max(0, int(sockets - idle))


@dataclass(frozen=True)
class Total:
    """All hosts in the second `t`. `kernel` is in connections: half of the sockets, as both ends are counted.

    `reopening` connections the plan had closed and the client had not opened again by the end of the second; at either
    end of it, and while it was counted, there were `on_their_way` at most, and no more than these may be missing at
    server and kernel.

    The connections `beside` the load, of publishers and probes, are in all three counts, but are not what is held.
    Where the kernel is no witness, client and server are. While sessions are on their way to another host there is no
    `disagreement`: their next connection is the server's before it is the client's.
    """

    t: int
    client: int
    server: int
    kernel: int
    disagreement: int | None
    beside: int = 0
    kernel_counts: bool = True
    reopening: int = 0
    on_their_way: int = 0

    @property
    def held(self) -> int:
        witnesses = [self.client + self.reopening, self.server + self.on_their_way]
        if self.kernel_counts:
            witnesses.append(self.kernel + self.on_their_way)
        return max(0, min(witnesses) - self.beside)


def totals(
    ledger: Iterable[Entry],
    beside: Callable[[int], int],
    outages: Sequence[Outage] = (),
    on_their_way: Mapping[int, int] = MappingProxyType({}),
) -> list[Total]:
    """The seconds for which every host gave all its counts; `beside` tells the connections that are not held in one,
    and `on_their_way` those that the plan had closed, at most, while it was counted."""
    by_second: dict[int, list[Entry]] = {}
    for entry in ledger:
        by_second.setdefault(entry.t, []).append(entry)
    return [
        _total(
            t,
            group,
            by_second.get(t - 1, []),
            beside(t),
            on_their_way.get(t, 0),
            kernel_counts=not any(_unsettled(outage, t) for outage in outages),
        )
        for t, group in sorted(by_second.items())
        if all(entry.complete for entry in group)
    ]


def _unsettled(outage: Outage, t: int) -> bool:
    return outage.injected_at - 1 <= t <= outage.sockets_settled_at


def _total(
    t: int, group: list[Entry], before: list[Entry], beside: int, counted_away: int, *, kernel_counts: bool
) -> Total:
    client = sum(entry.client or 0 for entry in group)
    server = sum(entry.server or 0 for entry in group)
    sockets = sum(entry.kernel or 0 for entry in group)
    reopening = sum(entry.reopening for entry in group)
    on_their_way = max(reopening, sum(entry.reopening for entry in before), counted_away)
    # What the client had when the second began, by host, where that may be something else than at its end.
    earlier = {entry.host: entry.client for entry in before} if on_their_way else {}
    had = {entry.host: _or(earlier.get(entry.host), entry.client or 0) for entry in group}
    differences = [_beyond(server, sum(had.values()), client, on_their_way)]
    if kernel_counts:
        differences += [
            _beyond((entry.kernel or 0) - (entry.server or 0), had[entry.host], entry.client or 0, on_their_way)
            for entry in group
        ]
    disagreement = None if any(entry.moving for entry in group) else max(differences)
    return Total(t, client, server, (sockets + 1) // 2, disagreement, beside, kernel_counts, reopening, on_their_way)


def _or(known: int | None, otherwise: int) -> int:
    return otherwise if known is None else known


def _beyond(count: int, first: int, last: int, allowance: int) -> int:
    """How far a count is from all that lies between the first and the last, and further than the allowance."""
    return max(0, min(first, last) - count - allowance, count - max(first, last) - allowance)


def judge(hold: Sequence[Total], hold_s: int, target: int) -> Ledger:
    """How well the counts agree over the hold; `hold` are its complete seconds, `hold_s` how many there should be."""
    differences = [second.disagreement for second in hold]
    windows = [differences[start : start + SUSTAINED_S] for start in range(max(1, len(differences) - SUSTAINED_S + 1))]
    sustained = [least for window in windows if (least := _least(window)) is not None]
    disagreement = max(sustained, default=None)
    return Ledger(
        seconds=len(hold),
        coverage=len(hold) / hold_s if hold_s else 0.0,
        disagreement=disagreement,
        disagreement_share=None if disagreement is None else disagreement / target,
        kernel_coverage=sum(second.kernel_counts for second in hold) / hold_s if hold_s else 0.0,
    )


def _least(window: Sequence[int | None]) -> int | None:
    """The least of a window of which all is known."""
    known = [each for each in window if each is not None]
    return min(known, default=None) if len(known) == len(window) else None


def write(path: Path, ledger: Iterable[Entry]) -> None:
    """`ledger.csv`: t,host,client,server,kernel; an empty cell is a count that was not given."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(("t", "host", "client", "server", "kernel"))
        writer.writerows((entry.t, entry.host, entry.client, entry.server, entry.kernel) for entry in ledger)

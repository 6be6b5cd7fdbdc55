"""What so many connections would take: hosts, processes, addresses, memory, kernel settings, and time to open them.

Everything is arithmetic on figures that were measured: those of `TCP` and `HTTP`, or those of a run of one's own. What
cannot be is refused with the numbers that say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from c100k.capacity import BYTES_PER_CONNECTION_END, MAX_WORKERS_PER_CORE, RESERVED_FILES, TUNED_PORT_RANGE
from c100k.errors import C100KError
from c100k.record import Run

#: The most that is planned for.
MOST_CONNECTIONS = 100_000_000

#: What processes have before their first connection; the generator's with the libraries that it loads.
BYTES_PER_WORKER = 40 * 2**20

#: Share of a host's memory and processors that a plan may take: the rest is the system's, and room for bursts.
_MEMORY_SHARE = 0.8
_CPU_SHARE = 0.7

#: Sockets that a listener may be asked for at once, from the role `tune`, and files that a host has beside sockets.
_OTHER_FILES = 100_000
_PAGE_BYTES = 4096

_PORTS = TUNED_PORT_RANGE[1] - TUNED_PORT_RANGE[0] + 1


class PlanningError(C100KError):
    """These connections cannot be had on these hosts; `problems` has a sentence for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU a message and a connect, of each end; kernel and program together."""

    server_us: float
    generator_us: float
    connect_us: float
    measured: str


#: Each the dearest of runs with 100,000 connections on a machine of 2 cores on 23 November 2026, at 10,000 messages a
#: second over TCP and 5,000 over HTTP; a busy machine asks for less a message. Ramps took 4,762 and 3,226 connects/s.
TCP = Cost(66, 86, 210, "100,000 TCP sessions at 10,000 messages/s, 2 cores")
HTTP = Cost(120, 96, 310, "100,000 HTTP sessions at 5,000 messages/s, 2 cores")


@dataclass(frozen=True)
class Host:
    """What each host of one kind has."""

    cores: int
    memory_bytes: int
    nofile: int


@dataclass(frozen=True)
class Role:
    """What the hosts of one role take: each has a `share` of the connections."""

    name: str
    hosts: int
    share: int
    workers: int
    memory_bytes: int
    cpu_share: float


@dataclass(frozen=True)
class Planned:
    """A plan that fits. `aliases` are source addresses of each generator beside its first."""

    connections: int
    rate_per_s: float
    cost: Cost
    servers: Role
    generators: Role
    aliases: int
    ramp_s: int
    sysctls: Mapping[str, str]


def plan(
    connections: int,
    rate_per_s: float,
    host: Host,
    cost: Cost = TCP,
    servers: int | None = None,
    generators: int | None = None,
) -> Planned:
    """Plan for so many hosts of each role, or for as few as will do.

    Raises:
        PlanningError: it cannot be.
    """
    if not 1 <= connections <= MOST_CONNECTIONS:
        raise PlanningError([f"{connections:,} connections: plans go from 1 to {MOST_CONNECTIONS:,}."])
    if host.nofile <= RESERVED_FILES:
        raise PlanningError([f"A process may open {host.nofile:,} files, but needs {RESERVED_FILES} for itself."])
    if host.memory_bytes * _MEMORY_SHARE < BYTES_PER_CONNECTION_END + BYTES_PER_WORKER:
        raise PlanningError([f"{host.memory_bytes / 2**30:.2f} GiB a host do not hold even one process."])
    roles, problems = [], list[str]()
    for name, us, given in (("server", cost.server_us, servers), ("generator", cost.generator_us, generators)):
        count = given or _hosts(connections, rate_per_s, us, host)
        role = _role(name, count, connections, rate_per_s, us, host)
        roles.append(role)
        problems += _problems(role, rate_per_s, us, host)
    if problems:
        raise PlanningError(problems)
    serving, generating = roles
    # A source address has each port once for each address and port that it is connected to.
    aliases = math.ceil(math.ceil(generating.share / serving.hosts) / _PORTS) - 1
    slowest = max(role.share for role in roles) * cost.connect_us / 1e6 / (host.cores * _CPU_SHARE)
    return Planned(
        connections=connections,
        rate_per_s=rate_per_s,
        cost=cost,
        servers=serving,
        generators=generating,
        aliases=aliases,
        ramp_s=math.ceil(slowest),
        sysctls=_sysctls(max(role.share for role in roles), host.nofile),
    )


def cost_of(run: Run) -> Cost:
    """The cost that a run has measured.

    Raises:
        PlanningError: it measured none.
    """
    server, generator = run.server.total.cpu_us_per_message, run.loadgen.total.cpu_us_per_message
    if server is None or generator is None:
        raise PlanningError([f"The run {run.run_id} had no messages, so their cost is not known."])
    connect_us = (HTTP if run.transport == "http" else TCP).connect_us
    return Cost(server, generator, connect_us, f"the run {run.run_id}")


def _hosts(connections: int, rate_per_s: float, us: float, host: Host) -> int:
    """The fewest hosts: each resource asks for some, and the last of them decides."""
    by_cpu = rate_per_s * us / 1e6 / (host.cores * _CPU_SHARE)
    by_files = connections / ((host.nofile - RESERVED_FILES) * MAX_WORKERS_PER_CORE * host.cores)
    # Processes share the memory too; each holds as many connections as its files allow.
    each = BYTES_PER_CONNECTION_END + BYTES_PER_WORKER / (host.nofile - RESERVED_FILES)
    least = max(1, math.ceil(max(by_cpu, by_files, connections * each / (host.memory_bytes * _MEMORY_SHARE))))
    while list(_problems(_role("", least, connections, rate_per_s, us, host), rate_per_s, us, host)):
        least += max(1, least // 20)  # where whole processes take more than their part
    return least


def _role(name: str, hosts: int, connections: int, rate_per_s: float, us: float, host: Host) -> Role:
    share = math.ceil(connections / hosts)
    cpu_s = rate_per_s / hosts * us / 1e6
    workers = max(math.ceil(share / (host.nofile - RESERVED_FILES)), min(host.cores, share))
    memory = share * BYTES_PER_CONNECTION_END + workers * BYTES_PER_WORKER
    return Role(name, hosts, share, workers, memory, cpu_s / host.cores)


def _problems(role: Role, rate_per_s: float, us: float, host: Host) -> Iterable[str]:
    each = f"{role.share:,} connections on each of {role.hosts:,} {role.name} hosts"
    room = host.memory_bytes * _MEMORY_SHARE
    if role.memory_bytes > room:
        yield (
            f"{each}: at {BYTES_PER_CONNECTION_END // 1024} KiB, and {role.workers:,} processes at "
            f"{BYTES_PER_WORKER >> 20} MiB, they need {role.memory_bytes / 2**30:.1f} GiB, but {_MEMORY_SHARE:.0%} of "
            f"{host.memory_bytes / 2**30:.1f} GiB are {room / 2**30:.1f}; add hosts or memory."
        )
    most = host.cores * MAX_WORKERS_PER_CORE
    if role.workers > most:
        yield (
            f"{each}: at {host.nofile:,} files a process less {RESERVED_FILES} they need {role.workers:,} processes, "
            f"more than {MAX_WORKERS_PER_CORE} on each of {host.cores} cores; raise the file limit or add hosts."
        )
    if role.cpu_share > _CPU_SHARE:
        yield (
            f"{rate_per_s / role.hosts:,.0f} messages a second on each of {role.hosts:,} {role.name} hosts at "
            f"{us:.0f} us take {role.cpu_share:.0%} of {host.cores} cores, more than {_CPU_SHARE:.0%}; "
            "add hosts or lower the rate."
        )


def _sysctls(share: int, nofile: int) -> dict[str, str]:
    """What a host needs beyond the role `tune`'s values, and why those do not do."""
    # 5 KiB a connection are the kernel's for the most part, and must not be taken back under pressure.
    pages = max(262_144, math.ceil(share * BYTES_PER_CONNECTION_END / _PAGE_BYTES))
    return {
        "fs.nr_open": str(max(1_048_576, nofile)),
        "fs.file-max": str(max(2_097_152, share + _OTHER_FILES)),
        "net.ipv4.ip_local_port_range": f"{TUNED_PORT_RANGE[0]} {TUNED_PORT_RANGE[1]}",
        "net.ipv4.tcp_mem": f"{pages // 2} {pages * 2 // 3} {pages}",
        "net.ipv4.tcp_max_tw_buckets": str(max(262_144, share)),
        "net.ipv4.tcp_max_orphans": str(max(262_144, share)),
        "net.netfilter.nf_conntrack_max": str(max(1_048_576, share + share // 4)),
    }


def text(planned: Planned, host: Host) -> str:
    """The plan for people."""
    memory_gib = host.memory_bytes / 2**30
    cost = planned.cost
    return "\n".join(
        [
            f"asked          {planned.connections:,} connections, {planned.rate_per_s:,.0f} messages a second; "
            f"hosts of {host.cores} cores, {memory_gib:,.0f} GiB, {host.nofile:,} files a process",
            f"cost           {cost.server_us:.0f} us of CPU a message at the server, {cost.generator_us:.0f} at the "
            f"generator, {BYTES_PER_CONNECTION_END // 1024} KiB a connection at each",
            f"measured with  {cost.measured}",
            *(_role_line(role) for role in (planned.servers, planned.generators)),
            f"addresses      {planned.aliases + 1:,} on each generator ({planned.aliases:,} aliases): "
            f"{planned.generators.share:,} connections to {_counted(planned.servers.hosts, 'server')}, "
            f"{_PORTS:,} ports a pair",
            f"ramp           {planned.ramp_s:,} s at least, at {cost.connect_us:.0f} us a connect at each end",
            "sysctls        at least, on each host:",
            *(f"  {key} = {value}" for key, value in planned.sysctls.items()),
        ]
    )


def _role_line(role: Role) -> str:
    return (
        f"{role.name + 's':<14} {_counted(role.hosts, 'host')} with {role.share:,} connections "
        f"in {role.workers:,} processes each: {role.memory_bytes / 2**30:.1f} GiB, "
        f"{role.cpu_share:.0%} of the processors"
    )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"

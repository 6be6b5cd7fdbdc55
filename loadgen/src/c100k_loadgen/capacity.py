"""Does the plan fit this host, and in how many processes? Arithmetic, on what `Limits.of_this_host` reads."""

from __future__ import annotations

import ipaddress
import math
import os
import resource
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

from c100k_loadgen.plan import Plan

#: Descriptors a worker keeps for itself: pipes, logs, the event loop's own.
RESERVED_FILES = 100

#: Its own and the kernel's memory for this end of a connection, and what a worker process has before its first one.
BYTES_PER_CONNECTION = 5 * 1024
BYTES_PER_WORKER = 40 * 1024 * 1024

#: How long the kernel keeps the port of a connection that this end has closed; TCP_TIMEWAIT_LEN of Linux.
_TIME_WAIT_S = 60

#: A second process on a second core is worth its memory from here on.
_CONNECTIONS_WORTH_A_WORKER = 2_500
_RATE_WORTH_A_WORKER_PER_S = 2_500


class Limits(NamedTuple):
    """What this host grants. `ports` are those that a connection from one source address may come from."""

    nofile: int
    ports: int
    port_range: tuple[int, int]
    cores: int
    memory_available_bytes: int | None

    @classmethod
    def of_this_host(cls) -> Limits:
        """Read them, and raise the soft file limit of this process (so also of its children) to the hard one."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        low, high = (int(word) for word in Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
        return cls(
            nofile=hard,
            ports=high - low + 1 - _reserved_ports(low, high),
            port_range=(low, high),
            cores=len(os.sched_getaffinity(0)),
            memory_available_bytes=_memory_available_bytes(),
        )


def _reserved_ports(low: int, high: int) -> int:
    """Ports of the range that `ip_local_reserved_ports` (such as "8080,9000-9100") keeps from outgoing connections."""
    count = 0
    for part in Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text().strip().split(","):
        if part:
            first, _, last = part.partition("-")
            count += max(0, min(high, int(last or first)) - max(low, int(first)) + 1)
    return count


def _memory_available_bytes() -> int | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def share(total: int, parts: int, index: int) -> int:
    """The part `index` of `total` split as evenly as whole numbers can be."""
    return total // parts + (index < total % parts)


def workers_for(plan: Plan, limits: Limits) -> int:
    """What the plan says; for `auto` what the file limit asks for, and up to one a core when more are useful."""
    if plan.workers != "auto":
        return plan.workers
    needed = math.ceil(plan.connections / max(1, limits.nofile - RESERVED_FILES))
    loads = (plan.connections / _CONNECTIONS_WORTH_A_WORKER, plan.rate_most_per_s / _RATE_WORTH_A_WORKER_PER_S)
    return max(1, needed, min(limits.cores, math.ceil(max(loads)), plan.connections))


def problems(plan: Plan, limits: Limits) -> list[str]:
    """Why the plan cannot fit here: one sentence each, with its arithmetic; empty when it does."""
    return [*_file_problems(plan, limits), *_port_problems(plan, limits), *_memory_problems(plan, limits)]


def _file_problems(plan: Plan, limits: Limits) -> list[str]:
    room = limits.nofile - RESERVED_FILES
    if room < 1:
        return [
            f"a process may open {limits.nofile} files, and {RESERVED_FILES} are kept for itself; "
            f"raise the hard limit (ulimit -Hn)."
        ]
    workers = workers_for(plan, limits)
    most = math.ceil(plan.connections / workers)
    if most <= room:
        return []
    return [
        f"{plan.connections:,} connections over {workers} workers are {most:,} for each, but the file limit "
        f"{limits.nofile:,} less {RESERVED_FILES} kept back leaves {room:,}; "
        f"give workers: auto, or at least {math.ceil(plan.connections / room)}."
    ]


def _port_problems(plan: Plan, limits: Limits) -> list[str]:
    if all(target.local for target in plan.targets):
        return []
    sources = max(1, len(plan.source_addresses))
    whole = sum(target.weight for target in plan.targets)
    closed = _waiting_ports(plan)
    most = math.ceil((plan.connections + closed) * max(target.weight for target in plan.targets) / whole / sources)
    if most <= limits.ports:
        return []
    low, high = limits.port_range
    also = f", with {closed:,} more that were closed less than {_TIME_WAIT_S} s ago," if closed else ""
    return [
        f"{plan.connections:,} connections{also} over {len(plan.targets)} targets and {sources} source addresses are "
        f"{most:,} for each pair, but ip_local_port_range {low}-{high} has {limits.ports:,} ports for that; "
        f"add source_addresses or targets, or widen the range. {_sources_needed(plan, most * sources, limits)}"
    ]


def _waiting_ports(plan: Plan) -> int:
    """Connections that the plan has closed in good order, whose ports are not free again yet."""
    churned = plan.churn_per_s * min(_TIME_WAIT_S, plan.hold_s) * plan.connections_each
    stormed = plan.storm.share * plan.connections if plan.storm is not None and plan.storm.close == "fin" else 0
    return math.ceil(churned + stormed)


def _sources_needed(plan: Plan, connections: int, limits: Limits) -> str:
    """How many addresses do for the target that most connections go to."""
    needed = math.ceil(connections / max(1, limits.ports))
    if all(target.local or ipaddress.ip_address(target.address).is_loopback for target in plan.targets):
        return f"It takes {needed} source addresses; of 127.0.0.0/8 this host has each already."
    return (
        f"It takes {needed} source addresses, {needed - max(1, len(plan.source_addresses))} more than there are; "
        "--add-addresses DEVICE adds those that this host has not."
    )


def _memory_problems(plan: Plan, limits: Limits) -> list[str]:
    workers = workers_for(plan, limits)
    needed = plan.connections * BYTES_PER_CONNECTION + workers * BYTES_PER_WORKER
    if limits.memory_available_bytes is None or needed <= limits.memory_available_bytes:
        return []
    return [
        f"{plan.connections:,} connections at {BYTES_PER_CONNECTION // 1024} KiB and {workers} workers at "
        f"{BYTES_PER_WORKER >> 20} MiB need {needed / 2**30:.1f} GiB, but "
        f"{limits.memory_available_bytes / 2**30:.1f} GiB are available; plan fewer connections here."
    ]


def missing_commands(plan: Plan) -> list[str]:
    """One sentence for each server that cannot be started here."""
    commands = (target.command[0] for target in plan.targets if target.command)
    return [f"{command} is no command of this host." for command in commands if shutil.which(command) is None]


def missing_sources(plan: Plan) -> list[str]:
    """One sentence for each source address that this host does not have."""
    found = []
    for address in plan.source_addresses:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((address, 0))
            except OSError as error:
                found.append(f"source_addresses holds {address}, which cannot be used on this host: {error.strerror}.")
    return found

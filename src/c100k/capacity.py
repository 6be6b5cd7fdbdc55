"""Does the plan fit the hosts? Pure arithmetic, done before the first connect, with the arithmetic in every refusal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: Descriptors a process keeps for itself (listeners, pipes, logs, event loop), so not for connections.
RESERVED_FILES = 100

#: Own and kernel memory of one end of a connection. Both ends and the kernel took about 10 KiB together when measured
#: with 100,000 connections on one machine; see docs/capacity.md.
BYTES_PER_CONNECTION_END = 5 * 1024

#: The range that the role `tune` sets (`net.ipv4.ip_local_port_range`).
TUNED_PORT_RANGE = (10_000, 65_535)

#: More processes than this on one core only take turns; refuse rather than measure the scheduler.
MAX_WORKERS_PER_CORE = 64

HostFacts = Mapping[str, Any]


def workers_needed(connections: int, nofile: int) -> int:
    """The processes that `connections` sockets need when each may open `nofile` files."""
    return math.ceil(connections / max(1, nofile - RESERVED_FILES))


def problems(connections: int, servers: Sequence[HostFacts], loadgens: Sequence[HostFacts]) -> list[str]:
    """What keeps `connections` from fitting on these hosts: one sentence each, empty when all is well.

    Args:
        connections: over all hosts.
        servers, loadgens: what the module `preflight_info` returns of each host, and its `name`; a host may be in both.
    """
    if connections < 1:
        return [f"c100k_connections is {connections}; give at least 1."]
    if not servers:
        return ["The inventory group `servers` has no reachable host; add one."]
    if not loadgens:
        return ["The inventory group `loadgens` has no reachable host; add one."]
    return [
        *_process_problems("server", connections, servers),
        *_process_problems("generator", connections, loadgens),
        *_port_problems(connections, servers, loadgens),
        *_memory_problems(connections, servers, loadgens),
    ]


def _process_problems(role: str, connections: int, hosts: Sequence[HostFacts]) -> list[str]:
    share = math.ceil(connections / len(hosts))
    found = []
    for host in hosts:
        nofile, cores = int(host["nofile"]), int(host["cores"])
        if nofile <= RESERVED_FILES:
            found.append(
                f"{host['name']}: a service may open {nofile} files, but {RESERVED_FILES} are needed for itself."
            )
            continue
        workers, most = workers_needed(share, nofile), cores * MAX_WORKERS_PER_CORE
        if workers > most:
            found.append(
                f"{host['name']}: {share:,} connections over {nofile:,} - {RESERVED_FILES} files a process need "
                f"{workers:,} {role} processes, more than {most:,} ({MAX_WORKERS_PER_CORE} on each of {cores} cores); "
                f"raise its file limit or add hosts."
            )
    return found


def _port_problems(connections: int, servers: Sequence[HostFacts], loadgens: Sequence[HostFacts]) -> list[str]:
    share = math.ceil(connections / len(loadgens))
    found = []
    for host in loadgens:
        targets = [server for server in servers if server["name"] != host["name"]] or servers
        low, high = host.get("port_range") or TUNED_PORT_RANGE
        ports = max(high - low, TUNED_PORT_RANGE[1] - TUNED_PORT_RANGE[0]) + 1
        per_target = math.ceil(share / len(targets))
        if per_target > ports:
            found.append(
                f"{host['name']}: {share:,} connections to {len(targets)} servers are {per_target:,} from one source "
                f"address to each, but only {ports:,} ports exist for that; add generator hosts or servers."
            )
    return found


def _memory_problems(connections: int, servers: Sequence[HostFacts], loadgens: Sequence[HostFacts]) -> list[str]:
    """Hosts that share one kernel (the lab's) share its memory too: they are added up by `boot_id`."""
    ends: dict[str, int] = {}
    facts: dict[str, HostFacts] = {}
    for group in (servers, loadgens):
        for host in group:
            kernel = str(host.get("boot_id") or host["name"])
            ends[kernel] = ends.get(kernel, 0) + math.ceil(connections / len(group))
            facts[kernel] = host
    found = []
    for kernel, count in ends.items():
        needed, available = count * BYTES_PER_CONNECTION_END, int(facts[kernel]["memory_available_bytes"])
        if needed > available:
            found.append(
                f"{facts[kernel]['name']}: {count:,} connection ends at {BYTES_PER_CONNECTION_END // 1024} KiB need "
                f"{needed / 2**30:.1f} GiB, but {available / 2**30:.1f} GiB are available; "
                "lower c100k_connections or add memory."
            )
    return found

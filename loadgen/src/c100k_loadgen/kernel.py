"""What the kernel of this host counts, before a run and after it, and what that says of the run.

The counters are those of the whole network namespace, so other programs have their part in them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path

from c100k_loadgen.plan import Plan

_NETSTAT = Path("/proc/net/netstat")
_CONNTRACK = Path("/proc/net/stat/nf_conntrack")

#: Here this host lost something that was meant for the generator, or for what shares the host with it.
_INSTRUMENT = {
    "TCPMemoryPressures": "TCP came under memory pressure {} times; raise net.ipv4.tcp_mem, or hold fewer connections",
    "TCPAbortOnMemory": "{} connections were aborted for lack of TCP memory; raise net.ipv4.tcp_mem or tcp_max_orphans",
    "RcvPruned": "{} received packets were dropped for lack of buffers; raise net.ipv4.tcp_rmem",
    "TCPRcvQDrop": "{} received packets were dropped for lack of buffers; raise net.ipv4.tcp_rmem",
    "TCPBacklogDrop": "{} received packets were dropped because a socket's backlog was full; raise net.core.rmem_max",
    "conntrack.drop": "connection tracking was full, and {} packets were dropped; raise net.netfilter.nf_conntrack_max",
    "conntrack.early_drop": "connection tracking was full, and forgot {} of them; raise net.netfilter.nf_conntrack_max",
}
#: And here the server, or the way to it, did.
_SERVER = {
    "TCPSynRetrans": "{} SYNs were sent again: the server, or the network before it, left them unanswered",
}
#: The same, which the kernel counts where the server is.
_SERVER_HERE = {
    "ListenOverflows": "a queue of connections to be accepted was full {} times; the server accepts too slowly, "
    "or its backlog (net.core.somaxconn) is too short for this ramp",
    "TCPReqQFullDrop": "{} SYNs were dropped because a queue for them was full; raise net.ipv4.tcp_max_syn_backlog",
}
COUNTERS = ("ListenDrops", *_INSTRUMENT, *_SERVER, *_SERVER_HERE)


def read_counters() -> dict[str, int]:
    """Those of `COUNTERS` that this kernel has."""
    found = {**_netstat(), **_conntrack()}
    return {name: found[name] for name in COUNTERS if name in found}


def _netstat() -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        lines = _NETSTAT.read_text().splitlines()
    except OSError:
        return found  # a container, or a service, may have no /proc/net
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names.startswith("TcpExt:"):
            found.update(zip(names.split()[1:], map(int, values.split()[1:]), strict=False))
    return found


def _conntrack() -> dict[str, int]:
    """A line of hexadecimal counts for each processor; no file where connections are not tracked."""
    try:
        names, *processors = _CONNTRACK.read_text().splitlines()
    except (OSError, ValueError):
        return {}
    columns = [line.split() for line in processors]
    return {
        f"conntrack.{name}": sum(int(line[place], 16) for line in columns) for place, name in enumerate(names.split())
    }


def has_target(plan: Plan) -> bool:
    """Whether one of the targets is on this host."""
    return any(target.local or _is_here(target.address) for target in plan.targets)


def _is_here(address: str) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def doubts(growth: Mapping[str, int]) -> Iterator[str]:
    """Why the generator may have been at fault."""
    yield from _said("this host: ", _INSTRUMENT, growth)


def warnings(growth: Mapping[str, int], *, target_here: bool) -> Iterator[str]:
    """What happened at the server, or on the way to it."""
    yield from _said("", {**_SERVER, **(_SERVER_HERE if target_here else {})}, growth)


def _said(prefix: str, sentences: Mapping[str, str], growth: Mapping[str, int]) -> Iterator[str]:
    for name, sentence in sentences.items():
        if (count := growth.get(name, 0)) > 0:
            yield f"{prefix}{sentence.format(f'{count:,}')} ({name})"

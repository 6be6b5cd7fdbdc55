"""Writes one row a second of what kernel and server count, until it is stopped. Standard library only.

A row `t` is what was read at the beginning of the whole second `t`. A second that was missed has no row, a figure that
the kernel does not have is an empty cell, and a server that does not answer has no rows. The sockets of Redis are
counted in some seconds only.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import signal
import socket
import struct
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Sequence
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlencode

KERNEL = (
    "t",
    "tcp_inuse",
    "tcp_redis",
    "tcp_tw",
    "tcp_alloc",
    "tcp_mem_pages",
    "listen_overflows",
    "listen_drops",
    "conntrack_count",
    "conntrack_max",
    "mem_available_bytes",
    "cpu_busy_s",
    "cpu_total_s",
)

#: Each column of server.csv, and the metric that it is the sum of, by worker.
SERVER = {
    "up": "c100k_server_up",
    "connections": "c100k_server_connections",
    "opened": "c100k_server_connections_opened_total",
    "closed": "c100k_server_connections_closed_total",
    "received": "c100k_server_messages_received_total",
    "sent": "c100k_server_messages_sent_total",
    "errors": "c100k_server_request_errors_total",
    "cpu_s": "c100k_server_cpu_seconds_total",
    "rss_bytes": "c100k_server_resident_memory_bytes",
    "gc_pause_max_s": "c100k_server_gc_pause_max_seconds",
    "loop_lag_max_s": "c100k_server_loop_lag_max_seconds",
}

#: Columns of lookups.csv beside time, worker and source: what look-ups took in all, and how many took no longer than so
#: many seconds, as the server's histogram has it. There are no rows of a source before it was used.
BOUNDS = (*(str(2**power / 1e6) for power in range(4, 25)), "+Inf")
LOOKUPS = ("seconds", *BOUNDS)

#: What the server is asked for; all else that it counts would only be made and read to be left out.
FAMILIES = urlencode([("name[]", name) for name in (*SERVER.values(), "c100k_server_registry_lookup_seconds")])

#: A server that needs longer has no row for this second; the next second must not wait for it.
ANSWER_LIMIT_S = 0.7

#: To count the sockets of Redis the kernel looks at all that there are, for 0.1 to 0.3 us each: not in each second, and
#: not on all hosts in the same, which may be hosts of one machine.
REDIS_EVERY_S = 5

#: A timer may fire a little before its second begins.
EARLY_S = 0.1

#: From linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST_DUMP = 0x301
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_INET_DIAG_REQ_BYTECODE = 1
_BC_JUMP, _BC_LOCAL_AT_LEAST, _BC_LOCAL_AT_MOST, _BC_REMOTE_AT_LEAST, _BC_REMOTE_AT_MOST = 1, 2, 3, 4, 5

#: What "TCP: inuse" counts: every state of include/net/tcp_states.h but SYN_RECV, TIME_WAIT and NEW_SYN_RECV.
_STATES_IN_USE = 0xFFE & ~(1 << 3) & ~(1 << 6)

_METRIC = re.compile(r'^(c100k_server_\w+)\{(?:.*,)?worker="([^"]+)".*\} (\S+)$', re.MULTILINE)
_LOOKUP = re.compile(r"^c100k_server_registry_lookup_seconds_(bucket|sum)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def read(path: str) -> str:
    """The text of a file of /proc, empty where the kernel has no such file."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def sockets(text: str) -> dict[str, int]:
    """The figures of the TCP lines of /proc/net/sockstat and sockstat6, added up."""
    found: dict[str, int] = defaultdict(int)
    for line in text.splitlines():
        if line.startswith(("TCP:", "TCP6:")):
            words = line.split()[1:]
            for name, value in zip(words[::2], words[1::2], strict=True):
                found[name] += int(value)
    return found


def paired(text: str, section: str) -> dict[str, int]:
    """One section of /proc/net/netstat, which is a line of names above a line of values."""
    lines = [line.split()[1:] for line in text.splitlines() if line.startswith(section)]
    if len(lines) != 2:
        return {}
    names, values = lines
    return dict(zip(names, map(int, values), strict=True))


def cpu_seconds(text: str) -> tuple[float, float]:
    """Busy and total seconds of all cores, from /proc/stat. Time that a guest ran is in the user's time already."""
    ticks = [int(value) for value in text.split("\n", 1)[0].split()[1:9]]
    idle = sum(ticks[3:5])
    per_second = os.sysconf("SC_CLK_TCK")
    return (sum(ticks) - idle) / per_second, sum(ticks) / per_second


def port_filter(ports: Sequence[int]) -> bytes:
    """A program for the kernel that passes sockets with one of these ports at either end.

    Each test of one port at one end is 20 bytes: at least it, at most it, and then past all others; else the next test.
    What falls past the last one by 4 bytes more is refused.
    """
    ends = ((_BC_LOCAL_AT_LEAST, _BC_LOCAL_AT_MOST), (_BC_REMOTE_AT_LEAST, _BC_REMOTE_AT_MOST))
    tests = [(*end, port) for port in ports for end in ends]
    program = b""
    for left, (at_least, at_most, port) in zip(range(len(tests) - 1, -1, -1), tests, strict=True):
        beyond = 20 if left else 24
        program += struct.pack("=BBHBBH", at_least, 8, beyond, 0, 0, port)
        program += struct.pack("=BBHBBH", at_most, 8, beyond - 8, 0, 0, port)
        program += struct.pack("=BBH", _BC_JUMP, 4, left * 20 + 4)
    return program


def sockets_with(ports: Sequence[int], family: int) -> int:
    """How many TCP sockets of a family are in use that have one of these ports at either end, as the kernel says.

    Raises:
        OSError: the kernel does not tell.
    """
    program = port_filter(ports)
    attribute = struct.pack("=HH", 4 + len(program), _INET_DIAG_REQ_BYTECODE) + program
    body = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 0, _STATES_IN_USE) + attribute
    header = struct.pack("=IHHII", 16 + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST_DUMP, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(ANSWER_LIMIT_S)
        kernel.send(header + body)
        count = 0
        while True:
            for kind, rest in netlink_messages(kernel.recv(1 << 16)):
                if kind == _NLMSG_DONE:
                    return count
                if kind == _NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", rest)[0], "sock_diag")
                count += 1


def netlink_messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The kind and the rest of each message."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        yield kind, data[at + 16 : at + size]
        at += (size + 3) & ~3


def redis_sockets(t: int, turn: int, ports: Sequence[int], *, version_6: int) -> int | str:
    """The sockets of Redis, empty where the kernel does not tell, or was not asked. `version_6` are all of IPv6."""
    if not ports:
        return 0
    if (t - turn) % REDIS_EVERY_S:
        return ""
    families = (socket.AF_INET, socket.AF_INET6) if version_6 else (socket.AF_INET,)
    try:
        return sum(sockets_with(ports, family) for family in families)
    except OSError:
        return ""


def kernel_row(t: int, turn: int, redis_ports: Sequence[int]) -> list[object]:
    text_6 = read("/proc/net/sockstat6")
    tcp, tcp_6 = sockets(read("/proc/net/sockstat") + text_6), sockets(text_6)
    listening = paired(read("/proc/net/netstat"), "TcpExt:")
    available = re.search(r"^MemAvailable:\s+(\d+)", read("/proc/meminfo"), re.MULTILINE)
    busy_s, total_s = cpu_seconds(read("/proc/stat"))
    return [
        t,
        tcp.get("inuse", ""),
        redis_sockets(t, turn, redis_ports, version_6=tcp_6["inuse"]),
        *(tcp.get(name, "") for name in ("tw", "alloc", "mem")),
        *(listening.get(name, "") for name in ("ListenOverflows", "ListenDrops")),
        *(read(f"/proc/sys/net/netfilter/nf_conntrack_{name}").strip() for name in ("count", "max")),
        int(available[1]) * 1024 if available else "",
        f"{busy_s:.2f}",
        f"{total_s:.2f}",
    ]


def server_rows(t: int, text: str) -> list[list[object]]:
    """One row for each worker, from the text of /metrics."""
    columns = {metric: column for column, metric in SERVER.items()}
    workers: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for metric, worker, value in _METRIC.findall(text):
        if metric in columns:
            workers[worker][columns[metric]] += float(value)
    return [
        [t, worker, *(number(figures.get(column)) for column in SERVER)] for worker, figures in sorted(workers.items())
    ]


def lookup_rows(t: int, text: str) -> list[list[object]]:
    """One row for each worker and source that has answered look-ups of names."""
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for kind, labels, value in _LOOKUP.findall(text):
        named = dict(_LABEL.findall(labels))
        found[named["worker"], named["source"]][named["le"] if kind == "bucket" else "seconds"] = value
    return [
        [t, *key, *(figures.get(column, "") for column in LOOKUPS)]
        for key, figures in sorted(found.items())
        if float(figures.get("+Inf", 0))
    ]


def number(value: float | None) -> str:
    """Counts without a point, so that a large one keeps its digits."""
    if value is None:
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def ask(url: str) -> str:
    """The text of /metrics, empty when the server does not answer in time."""
    try:
        with urllib.request.urlopen(f"{url}?{FAMILIES}", timeout=ANSWER_LIMIT_S) as response:
            return str(response.read().decode())
    except (OSError, HTTPException, ValueError):
        return ""


def sample(output: Path, url: str, turn: int, redis_ports: Sequence[int], stop: threading.Event) -> None:
    """Write rows until `stop` is set; each is in the file before the next second begins."""
    with (
        (output / "kernel.csv").open("a", newline="", buffering=1) as kernel,
        (output / "server.csv").open("a", newline="", buffering=1) as server,
        (output / "lookups.csv").open("a", newline="", buffering=1) as lookups,
    ):
        kernel_rows, worker_rows, source_rows = (
            csv.writer(file, lineterminator="\n") for file in (kernel, server, lookups)
        )
        if not kernel.tell():
            kernel_rows.writerow(KERNEL)
        if not server.tell():
            worker_rows.writerow(["t", "worker", *SERVER])
        if not lookups.tell():
            source_rows.writerow(["t", "worker", "source", *LOOKUPS])
        while True:
            now = time.time()
            if stop.wait(1 - now % 1):
                return
            t = int(time.time() + EARLY_S)
            kernel_rows.writerow(kernel_row(t, turn, redis_ports))
            metrics = ask(url)
            worker_rows.writerows(server_rows(t, metrics))
            source_rows.writerows(lookup_rows(t, metrics))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True, help="the folder for the CSV files")
    parser.add_argument("--metrics", default="http://127.0.0.1:7001/metrics", help="the server's metrics")
    parser.add_argument("--redis-ports", type=int, nargs="*", default=[], help="sockets with these are told apart")
    parser.add_argument("--turn", type=int, default=0, help=f"seconds in {REDIS_EVERY_S} after which those are counted")
    arguments = parser.parse_args()
    stop = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda _number, _frame: stop.set())
    sample(arguments.output, arguments.metrics, arguments.turn, arguments.redis_ports, stop)


if __name__ == "__main__":
    main()

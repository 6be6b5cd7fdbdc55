"""What this host lets the server have: files and memory, and the number of workers that follows."""

from __future__ import annotations

import math
import resource
from pathlib import Path

import msgspec

from c100k_server.errors import FileLimitError, MemoryLimitError

# Standard streams, event loop, listener, shared memory, mailbox, Python's own short-lived files; 20 were counted.
RESERVED_FILES = 64

# SO_REUSEPORT spreads connections by hash, so a worker's share varies by the square root of its mean; four
# standard deviations are exceeded once in 30,000 starts.
SPREAD_DEVIATIONS = 4

# Measured on Linux 6.18 with Python 3.11, rounded up: a worker without connections (25 MiB), and what a connection
# costs it (1.3 KiB) and the kernel (3.5 KiB).
WORKER_BYTES = 30 * 2**20
CONNECTION_BYTES = 5 * 2**10
# What TLS costs a connection beside that, its state in OpenSSL and its buffers: 22.7 KiB with OpenSSL 3, rounded up.
TLS_BYTES = 24 * 2**10

DEFAULT_CONNECTIONS = 20_000


class WorkerPlan(msgspec.Struct, frozen=True):
    """`workers` processes, none of which ever holds more than `connections_max`."""

    workers: int
    connections_max: int


def raise_file_limit() -> int:
    """Raise the soft file limit of this process and its children to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def available_memory_bytes() -> int:
    """`MemAvailable` of /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    raise OSError("/proc/meminfo has no MemAvailable")


def plan_workers(
    *,
    connections: int | None,
    workers: int | None,
    file_limit: int,
    cores: int,
    memory_bytes: int,
    with_tls: bool = False,
) -> WorkerPlan:
    """Plan so that `connections` fit, spread unevenly as they will be.

    None stands for `DEFAULT_CONNECTIONS`, or what the `workers` hold if that is less.

    Raises `FileLimitError` when they exceed the file limits and `MemoryLimitError` when they exceed `memory_bytes`.
    """
    room = max(0, file_limit - RESERVED_FILES)
    per_worker = mean_that_fits(room)
    if connections is None:
        connections = min(DEFAULT_CONNECTIONS, workers * per_worker) if workers else DEFAULT_CONNECTIONS
    needed = math.ceil(connections / per_worker) if per_worker else 0
    planned = workers or max(cores, needed)
    if planned * per_worker < connections:
        raise FileLimitError(
            connections=connections,
            workers=planned,
            file_limit=file_limit,
            per_worker=per_worker,
            workers_needed=needed,
        )
    needed_bytes = planned * WORKER_BYTES + connections * (CONNECTION_BYTES + TLS_BYTES * with_tls)
    if needed_bytes > memory_bytes:
        raise MemoryLimitError(
            connections=connections, workers=planned, needed_bytes=needed_bytes, available_bytes=memory_bytes
        )
    return WorkerPlan(workers=planned, connections_max=room)


def mean_that_fits(room: int) -> int:
    """The largest mean share `m` for which `m + SPREAD_DEVIATIONS * sqrt(m) <= room`."""
    root = (math.sqrt(SPREAD_DEVIATIONS**2 + 4 * room) - SPREAD_DEVIATIONS) / 2
    return math.floor(root * root + 1e-9)

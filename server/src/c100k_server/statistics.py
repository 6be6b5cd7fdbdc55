"""The figures that workers share with the parent: one row of 64-bit cells per worker in anonymous shared memory.

A worker writes its cells in place, so what it counted stays readable when it is stopped or killed. Each cell has one
writer, the event loop of its worker, and an aligned 8-byte store is never seen half done.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Iterable
from itertools import count

_cells = count()
_counters: list[int] = []


def _gauge() -> int:
    return next(_cells)


def _counter() -> int:
    _counters.append(next(_cells))
    return _counters[-1]


def _counter_by(labels: Iterable[str]) -> dict[str, int]:
    return {label: _counter() for label in labels}


OPENED = _counter()
RECEIVED = _counter()
SENT = _counter()
ERRORS = _counter()
CPU_US = _counter()
RESIDENT_BYTES = _gauge()
GC_PAUSE_MAX_US = _gauge()
LOOP_LAG_MAX_US = _gauge()
# CLOCK_MONOTONIC, which all processes of a host share.
BEAT_NS = _gauge()
SESSIONS = _gauge()
HTTP_REQUESTS = _counter()

# What has to wait, as it is now.
IN_FLIGHT = _gauge()
PAUSED = _gauge()
EVENTS_WAITING = _gauge()
THREADS_BUSY = _gauge()
THREADS_QUEUED = _gauge()
STREAMS = {"get": _gauge(), "listen": _gauge()}

# Why a connection ended. The worker counts all but `worker_died`, which the parent counts for it.
CLOSE_CAUSES = (
    "peer", "reset", "slow_reader", "oversize", "malformed", "drain", "full", "worker_died",
    "done", "slow_request", "peer_limit", "moved", "tls",
)  # fmt: skip
CLOSED = _counter_by(CLOSE_CAUSES)
# All of them, one beside the other: they are added up for each connection that opens.
_ENDED = slice(min(CLOSED.values()), max(CLOSED.values()) + 1)

# Limits that a client meets without losing its connection; the others are causes of a close.
LIMITS = _counter_by(
    ("in_flight", "session_subscriptions", "stream_subscriptions", "sessions", "write_buffer", "requests_ahead")
)

# Statuses of HTTP requests that never became messages.
HTTP_REFUSED = _counter_by(
    ("400", "401", "403", "404", "405", "406", "408", "409", "413", "414", "415", "421", "426", "429", "431", "503")
)  # fmt: skip

METHODS = (
    "initialize", "ping", "server/discover", "tools/list", "tools/call", "prompts/list", "prompts/get",
    "resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
    "subscriptions/listen", "completion/complete", "logging/setLevel",
    "tasks/get", "tasks/update", "tasks/cancel", "tasks/list", "tasks/result", "other",
)  # fmt: skip
OUTCOMES = ("ok", "tool_error", "error", "cancelled")
REQUESTS = {method: _counter_by(OUTCOMES) for method in METHODS}

TRANSPORTS = ("tcp", "unix", "http", "ws")
BYTES_RECEIVED = _counter_by(TRANSPORTS)
BYTES_SENT = _counter_by(TRANSPORTS)

# How long answers took, by the upper bound in microseconds; the last is without one.
LATENCY_KINDS = ("at_once", "later")
LATENCY_BOUNDS_US = tuple(2**power for power in range(4, 25))
LATENCY_BUCKETS = {kind: tuple(_counter() for _ in (*LATENCY_BOUNDS_US, None)) for kind in LATENCY_KINDS}
LATENCY_SUM_NS = _counter_by(LATENCY_KINDS)

# What tells one life of a worker from another.
BOOT = _gauge()

# What is shared with other nodes by Redis.
REDIS_UP = _gauge()
REDIS_OPERATIONS = _counter()
REDIS_FAILURES = _counter()
REDIS_LATENCY_US = _counter()
REDIS_SINGLE_COPY_ACKS = _counter()
REDIS_CONNECTS = _counter()
STORED_SESSIONS = _gauge()
SESSIONS_STORED = _counter()
SESSIONS_CLAIMED = _counter()
SESSIONS_FENCED = _counter()

# Names of sessions: what is done with them here, and how long look-ups took, by where the answer was found.
REGISTRY_NAMES = _gauge()
REGISTRY_CACHED = _gauge()
REGISTRY_REGISTERED = _counter()
REGISTRY_ROUTED = _counter()
REGISTRY_BROADCAST = _counter()
REGISTRY_INVALIDATED = _counter()
LOOKUP_SOURCES = ("own", "cache", "redis")
LOOKUP_BUCKETS = {source: tuple(_counter() for _ in (*LATENCY_BOUNDS_US, None)) for source in LOOKUP_SOURCES}
LOOKUP_SUM_NS = _counter_by(LOOKUP_SOURCES)

# Until when this node is one of the cluster, by CLOCK_MONOTONIC: written by the parent, in a row of its own.
MEMBER_UNTIL_NS = _gauge()

# A loop that has not turned for so long is taken for hung.
HUNG_S = 3.0

CELLS = next(_cells)
# What the next life of a worker goes on counting. The other cells say how things are now.
COUNTERS = tuple(_counters)
_ROW_BYTES = CELLS * 8


class StatisticsBoard:
    """The rows of all workers and of the parent, as `(fd, memory)`; whoever inherits the `fd` can open the same."""

    def __init__(self, fd: int, memory: memoryview) -> None:
        self.fd = fd
        self._memory = memory

    @classmethod
    def create(cls, workers: int) -> StatisticsBoard:
        fd = os.memfd_create("c100k-server-statistics")
        os.ftruncate(fd, (workers + 1) * _ROW_BYTES)
        return cls.open(fd)

    @classmethod
    def open(cls, fd: int) -> StatisticsBoard:
        return cls(fd, memoryview(mmap.mmap(fd, 0)).cast("Q"))

    def row(self, worker: int) -> memoryview:
        """The `CELLS` cells of a worker, to be indexed by the constants of this module."""
        return self._memory[worker * CELLS : (worker + 1) * CELLS]

    @property
    def parent(self) -> memoryview:
        """The cells of the parent, which follow those of the workers."""
        return self._memory[-CELLS:]

    def lives(self, worker: int, boot: int) -> bool:
        """Whether a worker is in the life that began at `boot`, and its loop turns."""
        row = self.row(worker)
        return len(row) > 0 and row[BOOT] == boot and time.monotonic_ns() - row[BEAT_NS] < HUNG_S * 1e9


def held(row: memoryview) -> int:
    """Connections that a worker holds, by its row."""
    return int(row[OPENED]) - sum(row[_ENDED])


def request_cell(method: str, outcome: str) -> int:
    """Where the requests of a method are counted; what clients make up is `other`."""
    return REQUESTS[method if method in REQUESTS else "other"][outcome]

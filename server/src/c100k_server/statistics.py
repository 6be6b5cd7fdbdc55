"""The figures that workers share with the parent: one row of 64-bit cells per worker in anonymous shared memory.

A worker writes its cells in place, so what it counted stays readable when it is stopped or killed. Each cell has one
writer, and an aligned 8-byte store is never seen half done.
"""

from __future__ import annotations

import mmap
import os

OPENED = 0
RECEIVED = 1
SENT = 2
ERRORS = 3
CPU_US = 4
RESIDENT_BYTES = 5
GC_PAUSE_MAX_US = 6
LOOP_LAG_MAX_US = 7
# CLOCK_MONOTONIC, which all processes of a host share.
BEAT_NS = 8
SESSIONS = 9
HTTP_REQUESTS = 10
HTTP_REFUSALS = 11
_CLOSED_FIRST = 12

# Why a connection ended. The worker counts all but `worker_died`, which the parent counts for it.
CLOSE_CAUSES = (
    "peer", "reset", "slow_reader", "oversize", "malformed", "drain", "full", "worker_died",
    "done", "slow_request", "peer_limit", "moved",
)  # fmt: skip
CLOSED = {cause: _CLOSED_FIRST + position for position, cause in enumerate(CLOSE_CAUSES)}

CELLS = 32
_ROW_BYTES = CELLS * 8


class StatisticsBoard:
    """The rows of all workers, as `(fd, memory)`; whoever inherits the `fd` can open the same board."""

    def __init__(self, fd: int, memory: memoryview) -> None:
        self.fd = fd
        self._memory = memory

    @classmethod
    def create(cls, workers: int) -> StatisticsBoard:
        fd = os.memfd_create("c100k-server-statistics")
        os.ftruncate(fd, workers * _ROW_BYTES)
        return cls.open(fd)

    @classmethod
    def open(cls, fd: int) -> StatisticsBoard:
        return cls(fd, memoryview(mmap.mmap(fd, 0)).cast("Q"))

    def row(self, worker: int) -> memoryview:
        """The `CELLS` cells of a worker, to be indexed by the constants of this module."""
        return self._memory[worker * CELLS : (worker + 1) * CELLS]


def held(row: memoryview) -> int:
    """Connections that a worker holds, by its row."""
    return int(row[OPENED]) - sum(row[cell] for cell in CLOSED.values())

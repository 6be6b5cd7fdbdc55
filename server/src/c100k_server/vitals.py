"""The state of health of a worker process, published in its row of figures a few times per second."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Callable, Sequence

from c100k_server.statistics import (
    BEAT_NS,
    CPU_US,
    GC_PAUSE_MAX_US,
    LOOP_LAG_MAX_US,
    OPENED,
    RESIDENT_BYTES,
    held,
)

BEAT_S = 0.25

# A maximum covers the last 5 to 10 s: long enough to be scraped, short enough to tell the hold from the ramp.
WINDOW_S = 5.0

# The garbage collector forgets about connections once there are a quarter more of them than it knew, and no new ones
# for a while; then full collections no longer walk over them.
FREEZE_GROWTH = 1.25
FREEZE_MINIMUM = 500
FREEZE_QUIET_S = 2.0


class RecentMaximum:
    """The largest value observed in the current and the previous window."""

    def __init__(self) -> None:
        self._current = 0.0
        self._previous = 0.0
        self._ends_at = 0.0

    def observe(self, value: float) -> None:
        self._current = max(self._current, value)

    def read(self, now: float) -> float:
        """The maximum, where `now` is the time in seconds of any one clock."""
        highest = max(self._current, self._previous)
        if now >= self._ends_at:
            self._previous, self._current = self._current, 0.0
            self._ends_at = now + WINDOW_S
        return highest


class Vitals:
    """Beats every `BEAT_S`: publishes, and calls each `on_beat`."""

    def __init__(self, figures: memoryview, on_beat: Sequence[Callable[[], None]]) -> None:
        self._figures = figures
        self._on_beat = on_beat
        self._loop = asyncio.get_running_loop()
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._gc_pause_s = RecentMaximum()
        self._loop_lag_s = RecentMaximum()
        self._gc_started = 0.0
        self._frozen_connections = 0
        self._opened = 0
        self._opened_at = 0.0

    def start(self) -> None:
        gc.callbacks.append(self._on_gc)
        self._freeze(0)
        self._beat(self._loop.time())

    def publish(self) -> None:
        """Publish now."""
        figures = self._figures
        now = time.monotonic()
        figures[CPU_US] = int(time.process_time() * 1e6)
        figures[RESIDENT_BYTES] = int(os.pread(self._statm, 128, 0).split()[1]) * self._page_bytes
        figures[GC_PAUSE_MAX_US] = int(self._gc_pause_s.read(now) * 1e6)
        figures[LOOP_LAG_MAX_US] = int(self._loop_lag_s.read(now) * 1e6)
        figures[BEAT_NS] = time.monotonic_ns()

    def _beat(self, due: float) -> None:
        now = self._loop.time()
        self._loop_lag_s.observe(now - due)
        self._freeze_when_settled(now)
        self.publish()
        for each in self._on_beat:
            each()
        self._loop.call_at(now + BEAT_S, self._beat, now + BEAT_S)

    def _freeze_when_settled(self, now: float) -> None:
        if self._figures[OPENED] != self._opened:
            self._opened = self._figures[OPENED]
            self._opened_at = now
            return
        if now - self._opened_at < FREEZE_QUIET_S:
            return
        connections = held(self._figures)
        if connections > self._frozen_connections * FREEZE_GROWTH + FREEZE_MINIMUM:
            self._freeze(connections)
        else:
            self._frozen_connections = min(self._frozen_connections, connections)

    def _freeze(self, connections: int) -> None:
        gc.collect()
        gc.freeze()
        self._frozen_connections = connections

    def _on_gc(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._gc_started = time.perf_counter()
        else:
            self._gc_pause_s.observe(time.perf_counter() - self._gc_started)

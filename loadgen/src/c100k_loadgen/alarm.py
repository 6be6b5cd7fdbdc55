"""A timer of the kernel: the event loop's own have a resolution of a millisecond, and are often a whole one late."""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
from collections.abc import Callable

#: From linux/timerfd.h; the os module has them only since Python 3.13.
_ABSOLUTE = 1
_CLOCK_MONOTONIC = 1

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Setting(ctypes.Structure):
    """struct itimerspec; all zero disarms."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` at the moment that was last set; `ring` must set the next one, or infinity for none."""

    __slots__ = ("_descriptor", "_loop", "_setting")

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._setting = _Setting()
        self._descriptor = _LIBC.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        loop.add_reader(self._descriptor, ring)

    def set(self, at: float) -> None:
        """Ring at `at` (`time.monotonic` seconds), at once when that is over, never when it is infinite."""
        if at == math.inf:
            self._setting.value_s = self._setting.value_ns = 0
        else:
            # Rounded up: a moment too early, and what it is for would not be due yet.
            nanoseconds = int(at * 1e9) + 1000
            self._setting.value_s, self._setting.value_ns = divmod(nanoseconds, 1_000_000_000)
        if _LIBC.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(self._setting), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

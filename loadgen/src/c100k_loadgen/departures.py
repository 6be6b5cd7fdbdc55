"""Leaving: a target that says that it cannot use the state of its sessions is left for one that can.

A server that is cut off says so. When all have lost what they keep state in, all of them say so, and nothing is better
elsewhere: sessions stay where they are, and what needs state is asked for again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from c100k_loadgen.plan import Target

_LOOK_S = 0.1
#: Servers that lose the same thing do not say so at the same moment: they renew their leases twice a second and look at
#: them four times, and have many to tell.
_NOTICE_S = 1.5
#: How long a target must have been able to use its state again before others are left for it, which may be about to be.
_STEADY_S = 5.0


class Departures:
    """Has `leave` end the connections to a target that cannot use its state, as long as another one can and is `up`.

    `held` is how many sessions of this worker each target has. Times are `time.monotonic` seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        targets: Sequence[Target],
        up: Callable[[str], bool],
        held: Mapping[str, int],
        leave: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._targets = [target.name for target in targets]
        self._up = up
        self._held = held
        self._leave = leave
        self._unavailable: dict[str, float] = {}  # since when
        self._steady_at: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def told(self, target: str, *, is_available: bool) -> None:
        """A target has said whether it can use its state, or shown that it can."""
        if is_available:
            if self._unavailable.pop(target, None) is not None:
                self._steady_at[target] = time.monotonic() + _STEADY_S
        else:
            self._unavailable.setdefault(target, time.monotonic())
            if self._timer is None:
                self._timer = self._loop.call_later(_LOOK_S, self._look)

    def stop(self) -> None:
        """Leave none any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = time.monotonic()
        for target, since in self._unavailable.items():
            if self._held[target] and now - since >= _NOTICE_S and self._has_fine(now):
                self._leave(target)
        self._timer = self._loop.call_later(_LOOK_S, self._look) if self._unavailable else None

    def _has_fine(self, now: float) -> bool:
        """Whether there is a target that can be gone to."""
        return any(
            target not in self._unavailable and self._up(target) and self._steady_at.get(target, 0.0) <= now
            for target in self._targets
        )

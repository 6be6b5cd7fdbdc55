"""Going back: a target that has returned gets its share of the sessions again, without a gap in any of them.

A session that moves has its next connection before it gives up the last one, so that it is never away.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from c100k_loadgen.connection import Connection, State
from c100k_loadgen.plan import Target
from c100k_loadgen.resumable import ResumableSession, resumable

_TICK_S = 0.1
#: What a target may hold less than its share before sessions are moved to it.
_TOLERANCE = 0.02
#: Moves of one worker that are under way at most.
UNDER_WAY = 64
#: How long a target that has refused a session is left alone at least.
_PAUSE_S = 1.0


class Rebalancing:
    """Has `move` take sessions from targets that hold more than their share to the one that holds least, at most
    `pace_per_s`, from `start` on (`time.monotonic` seconds).

    `up` says which targets live, `held` how many sessions of this worker each has, with those on their way to it;
    `live` are the connections, and `moving` the sessions on their way. As long as `busy`, nothing is moved. A target
    that has `refused` a session is tried with one at a time, until it has `taken` one.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        targets: Sequence[Target],
        up: Callable[[str], bool],
        held: Mapping[str, int],
        live: Sequence[Connection],
        moving: Collection[ResumableSession],
        busy: Callable[[], bool],
        move: Callable[[ResumableSession, Target], None],
        pace_per_s: float,
        start: float,
    ) -> None:
        self._loop = loop
        self._targets = targets
        self._up = up
        self._held = held
        self._live = live
        self._moving = moving
        self._busy = busy
        self._move = move
        self._pace_per_s = pace_per_s
        self._allowance = 0.0
        self._place = 0
        self._try_at: dict[str, float] = {}  # those that refuse
        self._timer = loop.call_later(max(0.0, start - time.monotonic()), self._tick)

    def refused(self, target: str, retry_after_s: float) -> None:
        """A target cannot use the state of its sessions."""
        self._try_at[target] = time.monotonic() + max(_PAUSE_S, retry_after_s)

    def taken(self, target: str) -> None:
        """A target has taken a session."""
        self._try_at.pop(target, None)

    def stop(self) -> None:
        """Move no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(_TICK_S, self._tick)
        self._allowance = min(1.0, self._allowance) + self._pace_per_s * _TICK_S
        now = time.monotonic()
        alive = [
            target for target in self._targets if self._up(target.name) and self._try_at.get(target.name, 0.0) <= now
        ]
        if not alive or self._busy():
            return
        share = sum(self._held[target.name] for target in alive) / len(alive)
        to = min(alive, key=lambda target: self._held[target.name])
        missing = share - self._held[to.name]
        if missing <= max(1.0, _TOLERANCE * share):
            return
        for _ in range(min(int(self._allowance), int(missing), UNDER_WAY - len(self._moving))):
            session = self._next(share)
            if session is None:
                return
            self._allowance -= 1
            self._move(session, to)
            if to.name in self._try_at:
                self._try_at[to.name] = now + _PAUSE_S
                return

    def _next(self, share: float) -> ResumableSession | None:
        """The next session, in the order of their connections, of a target that holds more than its share."""
        for _ in range(len(self._live)):
            self._place = (self._place + 1) % len(self._live)
            connection = resumable(self._live[self._place])
            full = self._held[connection.target] > share
            if full and connection.state is State.LIVE and connection.session not in self._moving:
                return connection.session
        return None

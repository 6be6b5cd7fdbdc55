"""Going on elsewhere: sessions that lost their connection get another one, to a target that lives.

However many sessions lose theirs at once, their attempts are paced. Each goes to the less busy of two targets taken at
random, so that a target that has just returned takes its part, and not all at once.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Mapping, Sequence

from c100k_loadgen.plan import Target
from c100k_loadgen.resumable import ResumableSession

_TICK_S = 0.05
#: What a late process may make up for at once.
_BURST_S = 0.1
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MOST_S = 2.0
#: Attempts of one worker that are under way at most: more would wait longer at the survivors, and get nowhere sooner.
UNDER_WAY = 256


class FailOver:
    """Has `begin` make attempts for the sessions that are `away`, at most `pace_per_s` and `UNDER_WAY` at a time.

    `up` says which targets live, and `held` how many sessions of this worker each has. A target that a session has lost
    is not its next one, unless there is no other.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        targets: Sequence[Target],
        up: Callable[[str], bool],
        held: Mapping[str, int],
        begin: Callable[[ResumableSession, Target], None],
        pace_per_s: float,
    ) -> None:
        self.away: set[ResumableSession] = set()
        self._loop = loop
        self._targets = targets
        self._up = up
        self._held = held
        self._begin = begin
        self._under_way = 0
        self._pace_per_s = pace_per_s
        self._burst = max(1.0, _BURST_S * pace_per_s)
        self._allowance = self._burst
        self._counted_at = time.monotonic()
        self._waiting: list[tuple[float, int, ResumableSession]] = []  # heap of (not before, number, session)
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False

    def lost(self, session: ResumableSession) -> None:
        """A session has lost its connection."""
        self.away.add(session)
        self._wait(session, 0.0)

    def failed(self, session: ResumableSession, retry_after_s: float) -> None:
        """An attempt came to nothing. The next one comes later, the more of them there were."""
        self._under_way -= 1
        backoff_s = min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2 ** min(session.attempts - 1, 10))
        self._wait(session, max(backoff_s, retry_after_s) * random.uniform(1, 1.5))

    def resumed(self, session: ResumableSession) -> None:
        self._under_way -= 1
        self.away.discard(session)

    def stop(self) -> None:
        """No attempt is made any more."""
        self._stopped = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, session: ResumableSession, wait_s: float) -> None:
        if self._stopped:
            return
        now = time.monotonic()
        entry = now + wait_s, session.number, session
        heapq.heappush(self._waiting, entry)
        if self._waiting[0] is entry:
            self._arm(now)

    def _arm(self, now: float) -> None:
        """Wake up for the next attempt."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(_TICK_S, self._waiting[0][0] - now), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        earned = (now - self._counted_at) * self._pace_per_s
        self._allowance, self._counted_at = min(self._burst, self._allowance + earned), now
        while self._waiting and self._waiting[0][0] <= now and self._allowance >= 1 and self._under_way < UNDER_WAY:
            self._allowance -= 1
            self._under_way += 1
            session = heapq.heappop(self._waiting)[-1]
            session.attempts += 1
            self._begin(session, self._next_target(session))
        if self._waiting:
            self._arm(now)

    def _next_target(self, session: ResumableSession) -> Target:
        assert session.connection is not None
        alive = [target for target in self._targets if self._up(target.name)]
        others = [target for target in alive if target.name != session.connection.target]
        choice = others or alive or self._targets
        # What `random.sample` and `min` would do; they take six times as long, and 25,000 sessions may wait for this.
        first = int(random.random() * len(choice))
        second = (first + 1 + int(random.random() * (len(choice) - 1))) % len(choice)
        one, other = choice[first], choice[second]
        return one if self._held[one.name] <= self._held[other.name] else other

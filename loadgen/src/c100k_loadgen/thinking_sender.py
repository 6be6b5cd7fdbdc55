"""Sending to connections that think: each gets its next message a while after it was answered, and no sooner.

The schedule stays an open loop. A message that finds no connection free waits for one, with its intended time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from c100k_loadgen.calls import Calls
from c100k_loadgen.connection import Connection
from c100k_loadgen.schedule import AnySchedule
from c100k_loadgen.sender import Outstanding, Sender, StageRecorders
from c100k_loadgen.tally import Tally


class ThinkingSender(Sender):
    """A sender whose connections have one message at a time, and rest for `think_s` after its answer.

    The one that has been free for longest is next. A message that waits for a free one for longer than the time-out is
    not sent (`no_free_connection`). Lateness counts from when there was a free one: the wait is the plan's, and not the
    generator's.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tally: Tally,
        schedule: AnySchedule,
        hold_at: float,
        calls: Calls,
        timeout_s: float,
        *,
        framed: bool,
        at_boundary: Callable[[float], None],
        stages: Sequence[StageRecorders],
        think_s: float,
    ) -> None:
        self._think_s = think_s
        self._free: deque[tuple[float, Connection]] = deque()  # since when
        self._resting: deque[tuple[float, Connection]] = deque()  # until when
        self._serving: dict[Connection, int] = {}  # the message that each waits for the answer to
        self._waiting: deque[tuple[int, float]] = deque()  # messages and their intended times
        self._stopped = False
        super().__init__(
            loop, tally, schedule, hold_at, calls, timeout_s, framed=framed, at_boundary=at_boundary, stages=stages
        )

    @property
    def idle(self) -> bool:
        return super().idle and not self._waiting

    def add(self, connection: Connection) -> None:
        super().add(connection)
        self._free.append((time.monotonic(), connection))

    def stop(self, now: float) -> None:
        super().stop(now)
        self._stopped = True

    def _arm(self, now: float) -> None:
        if self._stopped:
            return  # what still waits is looked at with the time-outs
        if self._waiting and self._resting:
            self._alarm.set(max(now, self._resting[0][0]))
        else:
            super()._arm(now)

    def send_due(self, until: float) -> None:
        if until > self._next_stage_at:
            self._enter_stage(until)
        first, self._taken = self._taken, self._schedule.due(until)
        for k in range(first, self._taken):
            intended = self._schedule.time_of(k)
            if self.live:
                self._waiting.append((k + 1, intended))
            else:
                self._went_wrong(intended, "", "not_connected")
        self._send_waiting()

    def _send_waiting(self) -> None:
        """Send what waits, as far as there are connections that are free."""
        now = time.monotonic()
        while self._resting and self._resting[0][0] <= now:
            self._free.append(self._resting.popleft())
        while self._waiting and self._free:
            free_since, connection = self._free.popleft()
            if connection.place >= 0:  # else it has gone meanwhile
                request_id, intended = self._waiting.popleft()
                self._send(connection, request_id, intended, max(intended, free_since))

    def _send(self, connection: Connection, request_id: int, intended: float, possible: float) -> None:
        line, text = self._calls.message(request_id)
        if self._framed:
            line = connection.frame(request_id, line, self._calls.routing(request_id))
        now = time.monotonic()
        self.outstanding[request_id] = connection, intended, now, text
        self._serving[connection] = request_id
        self._recorders_of(intended).slip.record(int((now - possible) * 1e6))
        self._totals.sent += 1
        if self.by_call and intended >= self._hold_at:
            self.by_call[self._calls.index(request_id)].sent += 1
        connection.write(line)

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        super().received(connection, line, now)
        self._rest(connection, now)

    def _take(self, request_id: int) -> Outstanding:
        taken = super()._take(request_id)
        self._rest(taken[0], time.monotonic())
        return taken

    def _rest(self, connection: Connection, now: float) -> None:
        """Have a connection rest, once what it was asked is settled."""
        request_id = self._serving.get(connection)
        if request_id is None or request_id in self.outstanding:
            return
        del self._serving[connection]
        self._resting.append((now + self._think_s, connection))
        if self._waiting and len(self._resting) == 1:
            self._arm(now)

    def expire(self, now: float) -> None:
        super().expire(now)
        while self._waiting and now - self._waiting[0][1] > self._timeout_s:
            _, intended = self._waiting.popleft()
            self._went_wrong(intended, "", "no_free_connection")
        self._send_waiting()

    def drop_all(self) -> None:
        super().drop_all()
        while self._waiting:
            self._went_wrong(self._waiting.popleft()[1], "", "no_free_connection")

"""Heartbeats: every session is pinged once in a while, all of them evenly spread, on one schedule and one timer."""

from __future__ import annotations

import asyncio
import math
import time
from typing import NamedTuple

from c100k_loadgen.alarm import Alarm
from c100k_loadgen.connection import Connection, State
from c100k_loadgen.messages import ping_request
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Recorder
from c100k_loadgen.roster import Roster
from c100k_loadgen.schedule import Schedule
from c100k_loadgen.tally import Tally

#: Pings have ids from here on, far above those of all calls, and exact in a float for servers that read them as one.
FIRST_PING_ID = 1 << 52

#: Whatever falls due within it is sent together, as calls are.
_TICK_S = 0.001


class _Ping(NamedTuple):
    connection: Connection
    intended: float


class Heartbeats:
    """Pings the sessions of `roster` in turn, by `schedule`: ping `k` goes to place `k`, over and over.

    They are an operation of their own, and not among the messages: `settle` and `hold` have their response times by the
    phase of their intended send, what goes wrong is counted as `ping_error`. One whose turn it is while it is not live
    is passed over.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tally: Tally,
        roster: Roster,
        schedule: Schedule,
        hold_at: float,
        timeout_s: float,
    ) -> None:
        self.settle, self.hold = Recorder(), Recorder()
        self._tally = tally
        self._roster = roster
        self._schedule = schedule
        self._hold_at = hold_at
        self._timeout_s = timeout_s
        self._taken = self._sent = self._answered = 0
        self._outstanding: dict[int, _Ping] = {}  # by id, so oldest first
        self._alarm = Alarm(loop, self._wake)
        self._arm(time.monotonic())

    @property
    def idle(self) -> bool:
        """Whether nothing waits for an answer."""
        return not self._outstanding

    def owing(self) -> set[Connection]:
        """The connections that owe an answer."""
        return {ping.connection for ping in self._outstanding.values()}

    def take_counts(self) -> tuple[int, int]:
        """How many were sent and answered since the last call."""
        counts = self._sent, self._answered
        self._sent = self._answered = 0
        return counts

    def stop(self) -> None:
        """Send no more."""
        self._alarm.close()

    def _arm(self, now: float) -> None:
        next_at = self._schedule.time_of(self._taken)
        self._alarm.set(max(now + _TICK_S, next_at) if next_at < self._schedule.end else math.inf)

    def _wake(self) -> None:
        now = time.monotonic()
        first, self._taken = self._taken, self._schedule.due(now)
        for k in range(first, self._taken):
            connection = self._roster.at(k % len(self._roster))
            if connection is not None:
                self._send(connection, FIRST_PING_ID + k, self._schedule.time_of(k))
        self._arm(now)

    def _send(self, connection: Connection, request_id: int, intended: float) -> None:
        self._outstanding[request_id] = _Ping(connection, intended)
        self._sent += 1
        connection.write(connection.frame(request_id, ping_request(request_id)))

    def settled(self, connection: Connection, request_id: int, cause: str) -> bool:
        """A request was answered, with what is wrong about it, or nothing. Says whether it was a ping."""
        if request_id < FIRST_PING_ID:
            return False
        ping = self._outstanding.get(request_id)
        if ping is None:
            return request_id < FIRST_PING_ID + self._taken  # it was given up, and counted then
        if ping.connection is not connection:
            return False
        del self._outstanding[request_id]
        if cause:
            self._failed(ping, cause)
            return True
        self._answered += 1
        recorder = self.hold if ping.intended >= self._hold_at else self.settle
        recorder.record(max(0, int((time.monotonic() - ping.intended) * 1e6)))
        return True

    def expire(self, now: float) -> None:
        """Give up those whose time is over, or whose connection has ended."""
        for request_id, ping in list(self._outstanding.items()):
            lost = ping.connection.state is State.ENDED
            if lost or now - ping.intended > self._timeout_s:
                del self._outstanding[request_id]
                self._failed(ping, "connection_lost" if lost else "timeout")

    def drop(self, connections: set[Connection], cause: str) -> None:
        """Give up the pings of connections that are about to be broken off."""
        for request_id, ping in list(self._outstanding.items()):
            if ping.connection in connections:
                del self._outstanding[request_id]
                self._failed(ping, cause)

    def _failed(self, ping: _Ping, cause: str) -> None:
        phase: Phase = "hold" if ping.intended >= self._hold_at else "settle"
        self._tally.causes[phase, "ping_error", ping.connection.target, cause] += 1

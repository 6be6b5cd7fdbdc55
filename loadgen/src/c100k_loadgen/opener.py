"""Opening connections: on a paced ramp, a bounded number at a time, failed ones again after a while.

Sockets are made here rather than by the event loop: asyncio and uvloop bind a source address without
`IP_BIND_ADDRESS_NO_PORT`, which takes the port from every destination instead of only from this one. All connecting
sockets wait in one epoll set of their own, which the event loop watches as a single descriptor.
"""

from __future__ import annotations

import asyncio
import errno
import heapq
import math
import select
import socket
import ssl
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from c100k_loadgen.assignment import Assignment
from c100k_loadgen.causes import cause_of, cause_of_error
from c100k_loadgen.connection import Connection
from c100k_loadgen.kinds import Connect
from c100k_loadgen.pace import Pace
from c100k_loadgen.plan import Target
from c100k_loadgen.schedule import Schedule, StepSchedule
from c100k_loadgen.stdio import StdioSession

#: From linux/in.h; the socket module has the name only since Python 3.12.
_IP_BIND_ADDRESS_NO_PORT = 24

#: Connects and handshakes that one worker has under way at most: a server that is slow is not also drowned.
IN_FLIGHT = 512

_BACKOFF_FIRST_S = 0.1
_BACKOFF_MOST_S = 2.0
_RETRIES_LEAST_PER_S = 10.0
_TICK_S = 0.002
#: What a late process may make up for at once of the connects that the plan allows.
_BURST_S = 0.02


class Destination(NamedTuple):
    """A target, and the source address to reach it from. Its certificate must be for `server_name`."""

    name: str
    family: int
    address: tuple[str, int] | str
    source: str | None
    server_name: str


def destination(assignment: Assignment, number: int, to: Target | None = None) -> Destination:
    """Where connection `number` of this host goes: targets in turn, and for each of them source addresses in turn.

    The numbers from `plan.connections` on are those of the publishers. With `to` it goes there, whatever its number.
    """
    plan, sources = assignment.plan, assignment.plan.source_addresses
    round_of, place = divmod(number // plan.connections_each, sum(target.weight for target in plan.targets))
    if to is not None:
        target = to
    elif number >= plan.connections:
        name = plan.publish_to[number - plan.connections]
        target = next(each for each in plan.targets if each.name == name)
    else:
        target = _in_turn(plan.targets, place)
    source = sources[round_of % len(sources)] if sources else None
    server_name = target.host_name or target.address
    family, address = target_address(target)
    return Destination(target.name, family, address, source, server_name)


def _in_turn(targets: Sequence[Target], place: int) -> Target:
    """Whose turn it is at a place of a round in which each target has as many places as its weight."""
    while True:
        # Those that have turns left, one after the other, until the place lies within them.
        least = min(target.weight for target in targets)
        if place < least * len(targets):
            return targets[place % len(targets)]
        place -= least * len(targets)
        targets = [
            msgspec.structs.replace(target, weight=target.weight - least) for target in targets if target.weight > least
        ]


def target_address(target: Target) -> tuple[socket.AddressFamily, tuple[str, int] | str]:
    """The family and address to connect a socket to; with a command there is nothing to connect to."""
    if target.local:
        return socket.AF_UNIX, target.address
    return socket.AF_INET6 if ":" in target.address else socket.AF_INET, (target.address, target.port)


def connecting_socket(to: Destination) -> socket.socket:
    """A non-blocking socket whose connect to the destination is under way.

    Raises:
        OSError: it failed already.
    """
    made = socket.socket(to.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if to.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if to.source is not None:
            made.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
            made.bind((to.source, 0))
        made.connect(to.address)
    except BlockingIOError as error:
        if error.errno == errno.EINPROGRESS:
            return made
        made.close()  # a Unix socket whose backlog is full
        raise
    except OSError:
        made.close()
        raise
    return made


def ramp(assignment: Assignment, start: float) -> Schedule | StepSchedule:
    """When this worker opens what it holds."""
    plan, wanted = assignment.plan, assignment.connections // assignment.plan.connections_each
    ramp_s = plan.ramp_s or _TICK_S
    if plan.ramp_steps is not None:
        return StepSchedule(start, ramp_s / plan.ramp_steps, plan.ramp_steps, wanted)
    # It is evened out over the workers of this host: each takes every n-th connect.
    offset = assignment.index / assignment.workers
    return Schedule(start, math.inf, per_s=wanted / ramp_s, offset=offset, limit=wanted)


def _retries_per_s(assignment: Assignment) -> float:
    """The pace of what is tried again: that of the ramp, and no slower than what the plan itself has come back."""
    plan, connections = assignment.plan, assignment.connections
    storm_per_s = plan.storm.share * connections / plan.storm.within_s if plan.storm else 0.0
    churn_per_s = plan.churn_per_s / assignment.workers
    return max(_RETRIES_LEAST_PER_S, connections / max(1, plan.ramp_s), storm_per_s, churn_per_s)


def _backoff_s(attempts: int) -> float:
    return min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * float(2 ** min(attempts, 10)))


class Opener:
    """Opens the connections of one worker from `start` on (`time.monotonic` seconds), each made by `connect`.

    Of connections that belong together the first is opened in its turn, the others when they are asked for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connect: Connect,
        assignment: Assignment,
        start: float,
        encryption: ssl.SSLContext | None,
    ) -> None:
        plan = assignment.plan
        self._encryption = encryption
        self._each = plan.connections_each
        self._wanted = assignment.connections // self._each
        self._schedule = ramp(assignment, start)
        self._retries = Pace(pace := _retries_per_s(assignment), pace, start)
        self._connects: Pace | None = None
        if plan.connects_per_s is not None:
            per_s = plan.connects_per_s / assignment.workers
            self._connects = Pace(per_s, max(1.0, _BURST_S * per_s), start)
        self._assignment = assignment
        self._connect = connect
        self._loop = loop
        self._timeout_s = plan.timeout_s
        self._begun = 0  # turns that have come
        self._again: list[tuple[float, int, int]] = []  # heap of (not before, number, attempts so far)
        self._asked: list[tuple[float, int, int]] = []  # the same, of those that are opened at any pace
        self._opening: dict[Connection, tuple[float, socket.socket]] = {}  # oldest first
        self._connecting: dict[int, tuple[socket.socket, Connection, str]] = {}  # and its server's name
        self._adopting: set[asyncio.Task[None]] = set()
        self._epoll = select.epoll()
        self._timer: asyncio.TimerHandle | None = None
        self._retrying = True
        self._stopped = False
        loop.add_reader(self._epoll.fileno(), self._connected)
        self._arm(time.monotonic())

    def open(self, number: int) -> None:
        """Open connection `number` now, in the place of one that has just been opened."""
        if self._retrying and self._connects is None:
            self._attempt(number, 0, time.monotonic())
        elif self._retrying:
            self.reopen(number, 0)

    def reopen(self, number: int, attempts: int, at: float = 0.0) -> None:
        """Open connection `number` at the moment `at` or, after as many attempts, later; whether or not what is lost is
        opened again."""
        if not self._stopped:
            at = max(at, time.monotonic() + (_backoff_s(attempts - 1) if attempts else 0.0))
            heapq.heappush(self._asked, (at, number, attempts))
            self._arm(time.monotonic())

    def began_at(self, connection: Connection) -> float:
        """When the attempt that is under way began."""
        return self._opening[connection][0]

    def open_at(self, number: int, at: float) -> None:
        """Open connection `number` at the moment `at`, beside the ramp."""
        heapq.heappush(self._again, (at, number, 0))
        self._arm(time.monotonic())

    def begin(self, connection: Connection, to: Destination) -> None:
        """Open a connection now, beside the ramp. Whoever owns it calls `done` when that came to an end."""
        self._begin(connection, to, time.monotonic())

    def opened(self, connection: Connection) -> None:
        """The connection is live."""
        self.done(connection)

    def failed(self, connection: Connection) -> None:
        """The attempt came to nothing; it is made again later, until `end_retries`."""
        self.done(connection)
        self.again(connection.number, connection.attempts + 1)

    def again(self, number: int, attempts: int) -> None:
        """Open connection `number` once more, later the more often that was tried."""
        if self._retrying:
            heapq.heappush(self._again, (time.monotonic() + _backoff_s(attempts), number, attempts))
            self._arm(time.monotonic())

    def end_retries(self) -> list[str]:
        """The settle phase is over: what is under way may still succeed, nothing new begins.

        Returns the targets of the connections whose turn never came, because too many others were under way.
        """
        self._retrying = False
        self._again.clear()
        first, part = self._assignment.first_connection, self._assignment
        never = [destination(part, first + turn * self._each).name for turn in range(self._begun, self._wanted)]
        self._begun = self._wanted
        return never

    def expire(self, now: float) -> None:
        """Give up attempts that are older than the time-out."""
        while self._opening:
            connection, (began, made) = next(iter(self._opening.items()))
            if now - began < self._timeout_s:
                return
            self._give_up(connection, made, "timeout")

    def give_up(self, connection: Connection, cause: str) -> None:
        """Give up the attempt at a connection, if there is one under way."""
        if connection in self._opening:
            self._give_up(connection, self._opening[connection][1], cause)

    def give_up_target(self, target: str, cause: str) -> None:
        """Give up all attempts that are under way to a target."""
        for connection in [each for each in self._opening if each.target == target]:
            self.give_up(connection, cause)

    def stop(self) -> None:
        """Drop everything that is under way, without counting it."""
        self.end_retries()
        self._stopped = True
        self._asked.clear()
        self._loop.remove_reader(self._epoll.fileno())
        for made, *_ in self._connecting.values():
            made.close()
        self._connecting.clear()
        for connection in self._opening:
            connection.abandon()
        self._opening.clear()
        self._epoll.close()
        if self._timer is not None:
            self._timer.cancel()

    def done(self, connection: Connection) -> None:
        """An attempt is no longer under way."""
        if self._opening.pop(connection, None) is not None and len(self._opening) == IN_FLIGHT - 1:
            self._arm(time.monotonic())

    def _arm(self, now: float) -> None:
        """Wake up for the next attempt; when the bound is reached, whatever ends next wakes this up."""
        if len(self._opening) >= IN_FLIGHT:
            return
        next_at = math.inf
        if self._begun < self._wanted and self._retrying:
            next_at = self._schedule.time_of(self._begun)
        if self._again:
            next_at = min(next_at, max(self._again[0][0], self._retries.next_at))
        if self._asked:
            next_at = min(next_at, self._asked[0][0])
        if self._connects is not None:
            next_at = max(next_at, self._connects.next_at)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if next_at < math.inf:
            self._timer = self._loop.call_later(max(_TICK_S, next_at - now), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = time.monotonic()
        while self._asked and self._asked[0][0] <= now and self._may_begin(now):
            _, number, attempts = heapq.heappop(self._asked)
            self._attempt(number, attempts, now)
        due = self._schedule.due(now)
        while self._begun < due and self._may_begin(now):
            number = self._assignment.first_connection + self._begun * self._each
            self._begun += 1
            self._attempt(number, 0, now)
        # Attempts that are made again keep the pace of the ramp, else a server that refuses would be asked ever faster.
        while self._again and self._again[0][0] <= now and self._retries.allows(now) and self._may_begin(now):
            self._retries.take(now)
            _, number, attempts = heapq.heappop(self._again)
            self._attempt(number, attempts, now)
        self._arm(now)

    def _may_begin(self, now: float) -> bool:
        """Whether there is room for another attempt; if so, it counts against the limit of the plan."""
        return len(self._opening) < IN_FLIGHT and (self._connects is None or self._connects.take(now))

    def _attempt(self, number: int, attempts: int, now: float) -> None:
        to = destination(self._assignment, number)
        connection = self._connect(number, to.name, attempts)
        if connection is not None:
            self._begin(connection, to, now)

    def _begin(self, connection: Connection, to: Destination, now: float) -> None:
        try:
            made = connection.start() if isinstance(connection, StdioSession) else connecting_socket(to)
        except OSError as error:
            connection.fail(cause_of(error.errno))
            return
        self._opening[connection] = now, made
        self._connecting[made.fileno()] = made, connection, to.server_name
        self._epoll.register(made.fileno(), select.EPOLLOUT)

    def _give_up(self, connection: Connection, made: socket.socket, cause: str) -> None:
        if self._connecting.pop(made.fileno(), None) is not None:
            self._epoll.unregister(made.fileno())
            made.close()
        connection.fail(cause)

    def _connected(self) -> None:
        """Connects that came to an end, one way or the other."""
        for descriptor, _ in self._epoll.poll(0):
            made, connection, server_name = self._connecting.pop(descriptor)
            self._epoll.unregister(descriptor)
            error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                made.close()
                connection.fail(cause_of(error))
                continue
            task = self._loop.create_task(self._adopt(made, connection, server_name))
            self._adopting.add(task)
            task.add_done_callback(self._adopting.discard)

    async def _adopt(self, made: socket.socket, connection: Connection, server_name: str) -> None:
        """Hand a connected socket to the event loop."""
        try:
            if isinstance(connection, StdioSession):
                await connection.attach(self._loop)
            if self._encryption is None:
                await self._loop.create_connection(lambda: connection, sock=made)
            else:
                await self._loop.create_connection(
                    lambda: connection,
                    sock=made,
                    ssl=self._encryption,
                    server_hostname=server_name,
                    ssl_handshake_timeout=self._timeout_s,
                )
        except OSError as error:
            made.close()
            connection.fail(cause_of_error(error))

"""Which nodes are in the cluster: each renews a lease of its own in Redis, and is one of them for as long as it can.

The leases are in sorted sets spread evenly over the slots, and a renewal counts when most of these have it. So the
death of one master takes nobody's membership, and a node that is cut off with a master of its own does not keep it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import Any

import msgspec

from c100k_server.failover import Failover
from c100k_server.redis.cluster import Cluster, Settings
from c100k_server.redis.errors import CommandError, StateUnavailableError
from c100k_server.redis.script import Script
from c100k_server.redis.slots import even_keys
from c100k_server.statistics import MEMBER_UNTIL_NS

LEASE_MS = 5000
RENEW_S = 0.5
# A node that could not renew its lease for so long takes no sessions.
READY_NS = 2 * 10**9
START_TIMEOUT_S = 3.0
SHARES = 16

_KEYS = even_keys("c100k:members:", SHARES)

# KEYS: a share. ARGV: node, lease in ms. Returns the nodes and how many ms of their lease are left, by turns. The time
# is that of the master.
RENEW = Script(
    "renew membership",
    """
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
    local members = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
    for position = 2, #members, 2 do members[position] = members[position] - now end
    return members
    """,
)


class Member(msgspec.Struct):
    """A node that lives."""

    name: str
    lease_ms: int


class _Round:
    """One renewal of all shares."""

    __slots__ = ("began_ns", "confirmed")

    def __init__(self) -> None:
        self.began_ns = time.monotonic_ns()
        self.confirmed = 0


class Membership:
    """`cells` are those of the parent, where the workers read until when this node is a member. The replica of a master
    that is silent for `failover_after_s`, or gone, is asked to take over, unless that is 0."""

    def __init__(self, settings: Settings, node: str, cells: memoryview, failover_after_s: float) -> None:
        self.node = node
        self._redis = Cluster(settings)
        self._failover: Failover | None = None
        if failover_after_s:
            self._failover = Failover(self._redis, settings, node, self._peers, failover_after_s)
        self._cells = cells
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._joined = asyncio.Event()
        # Until when nodes live, by the monotonic clock.
        self._until_ns: dict[str, int] = {}

    async def start(self) -> None:
        """Become a member, or give up waiting: it goes on being tried."""
        await self._redis.start(START_TIMEOUT_S)
        self._renew()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._joined.wait()

    async def close(self) -> None:
        """Leave, so that the others know at once."""
        if self._timer is not None:
            self._timer.cancel()
        self._cells[MEMBER_UNTIL_NS] = 0
        if self._failover is not None:
            await self._failover.close()
        left = [self._redis.execute(key, "ZREM", key, self.node, timeout_s=RENEW_S) for key in _KEYS]
        await asyncio.gather(*left, return_exceptions=True)
        await self._redis.close()

    @property
    def held(self) -> bool:
        """Whether this node is a member."""
        return self._cells[MEMBER_UNTIL_NS] > time.monotonic_ns()

    def nodes(self) -> list[Member]:
        """All that live, as far as this one knows."""
        now = time.monotonic_ns()
        return [Member(node, (until - now) // 10**6) for node, until in sorted(self._until_ns.items()) if until > now]

    def _peers(self) -> int:
        """How many nodes there are, as long as this is one of them."""
        return len(self.nodes()) if self.held else 0

    def _renew(self) -> None:
        self._timer = self._loop.call_later(RENEW_S, self._renew)
        attempt = _Round()
        for key in _KEYS:
            renewed = self._redis.script(RENEW, [key], (self.node, LEASE_MS))
            renewed.add_done_callback(partial(self._renewed, attempt))

    def _renewed(self, attempt: _Round, renewed: asyncio.Future[Any]) -> None:
        if renewed.cancelled() or isinstance(renewed.exception(), StateUnavailableError | CommandError):
            return
        now = time.monotonic_ns()
        members = renewed.result()
        for name, left_ms in zip(members[::2], members[1::2], strict=True):
            node = name.decode()
            self._until_ns[node] = max(self._until_ns.get(node, 0), now + left_ms * 10**6)
        attempt.confirmed += 1
        if attempt.confirmed == SHARES // 2 + 1:
            self._until_ns = {node: until for node, until in self._until_ns.items() if until > now}
            self._cells[MEMBER_UNTIL_NS] = max(self._cells[MEMBER_UNTIL_NS], attempt.began_ns + READY_NS)
            self._joined.set()

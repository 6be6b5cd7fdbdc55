"""One Redis, the connection to it, and the operations that wait until there is one."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING, Any

from c100k_server.config import Address
from c100k_server.redis.connection import Connection
from c100k_server.redis.operation import Operation

if TYPE_CHECKING:
    from c100k_server.redis.cluster import Cluster

RECONNECT_FIRST_S = 0.05
RECONNECT_MAX_S = 1.0
# What may wait for one master. Beyond it operations fail at once, so that memory stays bounded when Redis is silent.
WAITING_MAX = 10_000


class Node:
    """A place where Redis may be. Tells its cluster of all that happens."""

    __slots__ = (
        "_backoff_s",
        "_cluster",
        "_connection",
        "_down_since",
        "_retry_at",
        "_waiting",
        "address",
        "connecting",
        "quiet_beats",
        "ready_connection",
        "refusals",
    )

    def __init__(self, cluster: Cluster, address: Address) -> None:
        self.address = address
        self.ready_connection: Connection | None = None
        self.connecting: asyncio.Task[None] | None = None
        # For how many beats in a row nothing has come from it. Beats are counted, and not time, so that a pause of this
        # process is not taken for one of the node.
        self.quiet_beats = 0
        # How often in a row its host has said that nobody listens there.
        self.refusals = 0
        self._cluster = cluster
        # The same one, from before it is ready.
        self._connection: Connection | None = None
        self._waiting: deque[Operation] = deque()
        self._retry_at = 0.0
        self._backoff_s = RECONNECT_FIRST_S
        self._down_since: float | None = None

    def take(self, operation: Operation) -> None:
        connection = self.ready_connection
        if connection is not None:
            if connection.backlog < WAITING_MAX:
                connection.send(operation)
            else:
                self._cluster.fail(operation, f"{WAITING_MAX} operations are waiting for {self.address}")
            return
        if self._down_since is not None and operation.started - self._down_since > operation.timeout_s:
            self._cluster.fail(operation, f"{self.address} does not answer")
        elif len(self._waiting) >= WAITING_MAX:
            self._cluster.fail(operation, f"{WAITING_MAX} operations are waiting for {self.address}")
        else:
            self._waiting.append(operation)
            self.connect()

    def beat(self, now: float, *, wanted: bool) -> None:
        """Look after the connection, which is `wanted` or not."""
        heard = self._connection is not None and self._connection.check()
        self.quiet_beats = self.quiet_beats + 1 if wanted and not heard else 0
        if self._connection is None and wanted:
            self.connect()
        if self._waiting and self.ready_connection is None:
            waiting, self._waiting = self._waiting, deque()
            for operation in waiting:
                if operation.deadline <= now:
                    self._cluster.fail(operation, f"{self.address} does not answer")
                elif not operation.future.done():
                    self._waiting.append(operation)

    def connect(self) -> None:
        """Unless it is connected, connecting, or was tried just now."""
        if self._connection is None and self.connecting is None and asyncio.get_running_loop().time() >= self._retry_at:
            self.connecting = asyncio.get_running_loop().create_task(self._connect())

    def retire(self) -> deque[Operation]:
        """It is master of nothing (any more): what waits for it is for others to do. When it is one again, nothing is
        held against it."""
        if self._connection is not None:
            self._connection.close()
        self.refusals = 0
        self._down_since = None
        waiting, self._waiting = self._waiting, deque()
        return waiting

    def close(self) -> None:
        for operation in self.retire():
            operation.fail("closed")

    async def _connect(self) -> None:
        try:
            connection = await self._cluster.connect(self)
            self.refusals = 0
            if not connection.closed:
                self._connection = connection
        except (OSError, TimeoutError) as error:
            self.refusals = self.refusals + 1 if isinstance(error, ConnectionRefusedError) else 0
            self._cluster.trouble = f"cannot connect to {self.address}: {error or 'no answer'}"
            self._postpone()
            self._cluster.doubt()
        finally:
            self.connecting = None

    def _postpone(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._down_since is None:
            self._down_since = now
        self._retry_at = now + self._backoff_s * random.uniform(0.5, 1.0)
        self._backoff_s = min(self._backoff_s * 2, RECONNECT_MAX_S)

    # What the connection tells.

    def ready(self, connection: Connection) -> None:
        self._connection = self.ready_connection = connection
        self._down_since = None
        self._backoff_s = RECONNECT_FIRST_S
        waiting, self._waiting = self._waiting, deque()
        for operation in waiting:
            connection.send(operation)
        self._cluster.ready(self)

    def answered(self, operation: Operation, reply: Any, now: float) -> None:
        self._cluster.answered(self, operation, reply, now)

    def single_copy(self, count: int) -> None:
        self._cluster.figures.single_copy_acks += count

    def pushed(self, message: list[Any]) -> None:
        if self._cluster.on_push is not None:
            self._cluster.on_push(message)

    def lost(self, connection: Connection, sent: list[Operation], unsent: list[Operation]) -> None:
        if connection.refusal:
            self._cluster.trouble = f"{self.address} refuses: {connection.refusal}"
        self._connection = self.ready_connection = None
        self._postpone()
        for operation in sent:
            operation.sent = True
        self._cluster.lost(self, sent + unsent)

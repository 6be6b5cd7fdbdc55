"""One connection to one node: operations out in batches, replies in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import hiredis

from c100k_server.redis.operation import Argument, Operation
from c100k_server.redis.replicas import has_living_replica

# How long the replica may take to have what its master has, before it is asked whether there is one.
WAIT_MS = 100
# A node that owes a reply and says nothing for so many calls of `check` is taken for dead. Calls are counted, and not
# time, so that a pause of this process is not taken for one of the node.
SILENT_CHECKS_MAX = 9
# One that owes nothing for so many calls is asked whether it is there.
IDLE_CHECKS_MAX = 4

# Its type stub knows tuples of one item only.
_pack: Callable[[tuple[Argument, ...]], bytes] = cast(Any, hiredis.pack_command)
_NOTHING = object()
_GREETING = object()
_IGNORED = object()
_REPLICAS = object()
_NODES = object()


class Owner(Protocol):
    """Who uses a connection."""

    def ready(self, connection: Connection) -> None:
        """The node has greeted back."""

    def answered(self, operation: Operation, reply: Any, now: float) -> None:
        """A reply, which may be a `hiredis.ReplyError`; to a durable operation only once it is durable."""

    def single_copy(self, count: int) -> None:
        """So many writes were acknowledged by the master alone, as its replica is dead."""

    def pushed(self, message: list[Any]) -> None:
        """What the node says without being asked."""

    def lost(self, connection: Connection, sent: list[Operation], unsent: list[Operation]) -> None:
        """It is closed, and these had no answer."""


class Connection(asyncio.Protocol):
    """Sends what `send` is given in the same turn of the loop in one write. `check` must be called at an even pace.

    A batch with durable operations ends in a `WAIT` for the replica, and the next batch goes out after its answer:
    under load batches grow, and the replica is asked less often.
    """

    __slots__ = (
        "_barrier",
        "_expected",
        "_greeting",
        "_heard",
        "_idle_checks",
        "_loop",
        "_owner",
        "_reader",
        "_replica_missing",
        "_replicas",
        "_scheduled",
        "_scripts",
        "_silent_checks",
        "_transport",
        "_unconfirmed",
        "_unsent",
        "refusal",
    )

    def __init__(self, owner: Owner, greeting: Sequence[tuple[Argument, ...]]) -> None:
        self._owner = owner
        self._greeting = greeting
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._reader = hiredis.Reader(notEnoughData=_NOTHING)
        self._expected: deque[object] = deque()
        self._unsent: list[Operation] = []
        self._unconfirmed: list[tuple[Operation, Any]] = []
        self._scripts: set[str] = set()
        self._scheduled = False
        self._silent_checks = 0
        self._idle_checks = 0
        # Whether anything has come since the last `check`.
        self._heard = False
        # A WAIT is under way.
        self._barrier = False
        self._replicas = 0
        # The last WAIT was in vain, and the cluster said why.
        self._replica_missing = False
        # Why the node did not greet back.
        self.refusal = ""

    @property
    def backlog(self) -> int:
        """Operations that wait for something."""
        return len(self._expected) + len(self._unsent) + len(self._unconfirmed)

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    def send(self, operation: Operation) -> None:
        self._unsent.append(operation)
        if not self._scheduled and not self._barrier:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def check(self) -> bool:
        """Close the connection when the node has been silent for too long; whether it has said anything since last."""
        heard, self._heard = self._heard, False
        if self._expected:
            self._idle_checks = 0
            self._silent_checks += 1
            if self._silent_checks > SILENT_CHECKS_MAX:
                self.close()
            return heard
        self._silent_checks = 0
        self._idle_checks += 1
        if self._idle_checks > IDLE_CHECKS_MAX:
            self._idle_checks = 0
            self._expected.append(_IGNORED)
            self._transport.write(_pack(("PING",)))
        return heard

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._expected.extend([_GREETING] * len(self._greeting))
        self._transport.write(b"".join(_pack(command) for command in self._greeting))

    def data_received(self, data: bytes) -> None:
        self._silent_checks = 0
        self._heard = True
        reader = self._reader
        expected = self._expected
        owner = self._owner
        now = self._loop.time()
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                if isinstance(reply, hiredis.PushNotification):
                    owner.pushed(reply)
                    continue
                awaited = expected.popleft()
                if type(awaited) is not Operation:
                    self._controlled(awaited, reply, now)
                elif awaited.durable and not isinstance(reply, hiredis.ReplyError):
                    self._unconfirmed.append((awaited, reply))
                else:
                    owner.answered(awaited, reply, now)
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        sent = [each for each in self._expected if type(each) is Operation]
        sent.extend(operation for operation, _ in self._unconfirmed)
        unsent, self._unsent = self._unsent, []
        self._expected.clear()
        self._unconfirmed.clear()
        self._owner.lost(self, sent, unsent)

    def _controlled(self, awaited: object, reply: Any, now: float) -> None:
        if awaited is _REPLICAS:
            self._replicas = reply if isinstance(reply, int) else 0
            if self._replicas:
                self._confirm(now)
                self._replica_missing = False
            if not self._expects_nodes():
                self._end_barrier()
        elif awaited is _NODES:
            if not self._replicas:
                self._judge(reply, now)
            self._end_barrier()
        elif awaited is _GREETING:
            if isinstance(reply, hiredis.ReplyError):
                self.refusal = str(reply)
                self.close()
            elif _GREETING not in self._expected:
                self._owner.ready(self)

    def _expects_nodes(self) -> bool:
        return bool(self._expected) and self._expected[0] is _NODES

    def _judge(self, nodes: Any, now: float) -> None:
        """No replica has the writes: are there any that should?"""
        if isinstance(nodes, bytes) and not has_living_replica(nodes.decode()):
            self._replica_missing = True
            self._owner.single_copy(len(self._unconfirmed))
            self._confirm(now)
            return
        self._replica_missing = False
        late = [operation for operation, _ in self._unconfirmed if operation.deadline <= now]
        self._unconfirmed = [each for each in self._unconfirmed if each[0].deadline > now]
        for operation in late:
            operation.sent = True
            operation.fail("the replica did not confirm it in time")

    def _confirm(self, now: float) -> None:
        confirmed, self._unconfirmed = self._unconfirmed, []
        for operation, reply in confirmed:
            self._owner.answered(operation, reply, now)

    def _end_barrier(self) -> None:
        self._barrier = False
        if self._unsent or self._unconfirmed:
            self._flush()

    def _flush(self) -> None:
        self._scheduled = False
        if self._barrier or self._transport.is_closing():
            return
        batch, self._unsent = self._unsent, []
        pack = _pack
        expected = self._expected
        parts = []
        # What an earlier WAIT did not see confirmed is waited for again.
        doubtful = bool(self._unconfirmed)
        durable = doubtful
        for operation in batch:
            if operation.future.done():
                continue
            script = operation.script
            if script is not None and script.sha not in self._scripts:
                self._scripts.add(script.sha)
                parts.append(pack(("SCRIPT", "LOAD", script.source)))
                expected.append(_IGNORED)
            if operation.asking:
                operation.asking = False
                parts.append(pack(("ASKING",)))
                expected.append(_IGNORED)
            parts.append(pack(operation.command))
            expected.append(operation)
            durable = durable or operation.durable
        if durable:
            self._barrier = True
            parts.append(pack(("WAIT", 1, 1 if self._replica_missing else WAIT_MS)))
            expected.append(_REPLICAS)
            if doubtful or self._replica_missing:
                parts.append(pack(("CLUSTER", "NODES")))
                expected.append(_NODES)
        if parts:
            self._transport.write(b"".join(parts))

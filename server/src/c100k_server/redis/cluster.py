"""Redis Cluster as one thing: each operation goes to the master of its key, wherever that is by now."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import msgspec

from c100k_server.config import Address
from c100k_server.redis.connection import Connection
from c100k_server.redis.errors import CommandError, StateUnavailableError
from c100k_server.redis.node import WAITING_MAX, Node
from c100k_server.redis.operation import TIMEOUT_S, Argument, Operation
from c100k_server.redis.script import Script
from c100k_server.redis.slots import SLOTS, key_slot
from c100k_server.redis.topology import read_redirection, read_slots

BEAT_S = 0.05
CONNECT_TIMEOUT_S = 0.5
# How often somebody is asked who has which slots while anything is wrong: whoever waits for a failover waits so much
# longer.
REFRESH_S = 0.1
# Connects that the host of a master has refused in a row, after which nobody is there any more: the last of them comes
# 0.2 to 0.5 s after the loss, and who restarts at once is back by then.
REFUSALS = 3
# Redirections of one operation before it waits for the next beat.
REDIRECTIONS_MAX = 3

# Refusals that pass: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/.
_PASSING = ("CLUSTERDOWN", "TRYAGAIN", "LOADING", "MASTERDOWN", "READONLY", "NOREPLICAS")


class Settings(msgspec.Struct, frozen=True):
    """Where to find the cluster: one node that answers is enough. `greeting` has further commands for the begin of
    every connection."""

    seeds: tuple[Address, ...]
    username: str | None = None
    password: str | None = None
    client_name: str = "c100k-server"
    greeting: tuple[tuple[str, ...], ...] = ()

    def commands(self) -> list[tuple[Argument, ...]]:
        """What every connection begins with."""
        user = () if self.password is None else ("AUTH", self.username or "default", self.password)
        return [("HELLO", 3, *user, "SETNAME", self.client_name), *self.greeting]


class Figures:
    """What a client has done, in totals."""

    __slots__ = ("connects", "failures", "latency_s", "operations", "single_copy_acks")

    def __init__(self) -> None:
        self.operations = 0
        self.failures = 0
        self.latency_s = 0.0
        self.single_copy_acks = 0
        self.connects = 0


class Cluster:
    """`start` it, then `execute` and `script`, whose futures always end: with a reply, `CommandError`,
    `StateUnavailableError` or its kind `OutcomeUnknownError`."""

    def __init__(self, settings: Settings) -> None:
        self.figures = Figures()
        # What masters say without being asked (RESP3 push), and which master can no longer have said anything.
        self.on_push: Callable[[list[Any]], None] | None = None
        self.on_lost: Callable[[Address], None] | None = None
        # Why there is no connection, as far as it is known.
        self.trouble = ""
        self._settings = settings
        self._greeting = settings.commands()
        self._loop = asyncio.get_running_loop()
        self._nodes = {seed: Node(self, seed) for seed in settings.seeds}
        self._slots: list[Node | None] = [None] * SLOTS
        self._masters: set[Node] = set()
        self._replicas: dict[Node, tuple[Address, ...]] = {}
        # Operations that no master would take by now.
        self._parked: deque[Operation] = deque()
        self._covered = False
        self._wrong_since = self._loop.time()
        self._refresh_at = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._closed = False
        self._settled = asyncio.Event()

    async def start(self, timeout_s: float = TIMEOUT_S) -> None:
        """Connect. Returns when the whole cluster can be used, or after `timeout_s`: it is tried for ever."""
        self._on_beat()
        await self.wait_healthy(timeout_s)

    async def wait_healthy(self, timeout_s: float) -> bool:
        """Wait until the whole cluster can be used; whether it can."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        return self.healthy

    async def close(self) -> None:
        """What is under way fails."""
        self._closed = True
        if self._beat is not None:
            self._beat.cancel()
        tasks = [node.connecting for node in self._nodes.values() if node.connecting is not None]
        if self._refreshing is not None:
            tasks.append(self._refreshing)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for node in self._nodes.values():
            node.close()
        for operation in self._parked:
            operation.fail("closed")
        self._parked.clear()
        # The transports close in a turn of the loop of their own.
        await asyncio.sleep(0)

    @property
    def healthy(self) -> bool:
        """Whether every slot has a master that is connected."""
        return self._covered and all(master.ready_connection is not None for master in self._masters)

    def quiet_masters(self, quiet_s: float) -> dict[Address, tuple[Address, ...]]:
        """The masters that have said nothing for so long, or are not there at all, and their replicas."""
        beats = quiet_s / BEAT_S
        return {
            master.address: self._replicas.get(master, ())
            for master in self._masters
            if master.quiet_beats >= beats or master.refusals >= REFUSALS
        }

    def execute(
        self,
        key: str,
        *command: Argument,
        durable: bool = False,
        repeatable: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> asyncio.Future[Any]:
        """The reply to a command about `key`, with strings as bytes.

        With `durable` a replica has the write too, or is known to be dead by the majority of masters. A command that
        must not be done twice is not `repeatable`: it ends with `OutcomeUnknownError` where others are tried again.
        """
        return self._submit(command, key, None, durable, repeatable, timeout_s)

    def script(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        durable: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> asyncio.Future[Any]:
        """What a script returns. All `keys` must be of one slot, and doing it twice must be as good as once."""
        command = ("EVALSHA", script.sha, len(keys), *keys, *args)
        return self._submit(command, keys[0], script, durable, True, timeout_s)

    def _submit(
        self,
        command: tuple[Argument, ...],
        key: str,
        script: Script | None,
        durable: bool,
        repeatable: bool,
        timeout_s: float,
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        operation = Operation(
            command,
            key_slot(key.encode()),
            future,
            self._loop.time(),
            timeout_s,
            durable=durable,
            repeatable=repeatable,
            script=script,
        )
        self.figures.operations += 1
        if self._closed:
            self.fail(operation, "closed")
        else:
            self._dispatch(operation)
        return future

    def _dispatch(self, operation: Operation) -> None:
        assert operation.slot is not None
        node = self._slots[operation.slot]
        if node is not None:
            node.take(operation)
        elif self._loop.time() - self._wrong_since > operation.timeout_s:
            self.fail(operation, self.trouble or "nobody serves its slot")
        else:
            self._park(operation)

    def _park(self, operation: Operation) -> None:
        if len(self._parked) >= WAITING_MAX:
            self.fail(operation, f"{WAITING_MAX} operations are waiting for the cluster")
        else:
            self._parked.append(operation)

    def fail(self, operation: Operation, reason: str) -> None:
        """End an operation without a reply."""
        self.figures.failures += 1
        operation.fail(reason)

    # What nodes tell.

    def answered(self, node: Node, operation: Operation, reply: Any, now: float) -> None:
        """A reply, which may be a refusal."""
        if isinstance(reply, hiredis.ReplyError):
            self._refused(node, operation, str(reply))
        elif not operation.future.done():
            self.figures.latency_s += now - operation.started
            operation.future.set_result(reply)

    def _refused(self, node: Node, operation: Operation, message: str) -> None:
        """A command that was refused has not been done."""
        kind = message.partition(" ")[0]
        if operation.slot is None:
            self.fail(operation, message)
        elif kind in ("MOVED", "ASK"):
            self._redirect(node, operation, kind, message)
        elif kind in _PASSING:
            self.doubt()
            self._park(operation)
        elif kind == "NOSCRIPT" and operation.script is not None:
            operation.command = ("EVAL", operation.script.source, *operation.command[2:])
            node.take(operation)
        elif not operation.future.done():
            self.figures.failures += 1
            operation.future.set_exception(CommandError(f"{operation.name}: {message}"))

    def _redirect(self, node: Node, operation: Operation, kind: str, message: str) -> None:
        slot, address = read_redirection(message, node.address)
        target = self._node(address)
        operation.redirections += 1
        if kind == "MOVED":
            self._slots[slot] = target
            self._masters.add(target)
            self.doubt()
        if operation.redirections % (REDIRECTIONS_MAX + 1) == 0:
            self._park(operation)
        else:
            operation.asking = kind == "ASK"
            target.take(operation)

    def ready(self, node: Node) -> None:
        """A node can be used."""
        self.figures.connects += 1
        if not self._covered:
            self._refresh_at = 0.0
            self._refresh_when_due()
        self._note_health()

    def lost(self, node: Node, operations: list[Operation]) -> None:
        """A connection is gone, and these had no answer."""
        self.doubt()
        if self.on_lost is not None:
            self.on_lost(node.address)
        for operation in operations:
            if operation.future.done():
                continue
            if operation.slot is None:
                self.fail(operation, "the connection is lost")
            elif operation.sent and not operation.repeatable:
                self.fail(operation, "the connection is lost, and it may have been done")
            elif self._closed:
                self.fail(operation, "closed")
            else:
                self._dispatch(operation)

    def doubt(self) -> None:
        """Something is not where it was: ask soon."""
        self._note_health()
        self._refresh_at = min(self._refresh_at, self._loop.time() + BEAT_S)

    def _note_health(self) -> None:
        if self.healthy:
            self._settled.set()
            self.trouble = ""
        elif self._settled.is_set():
            self._settled.clear()
            self._wrong_since = self._loop.time()

    # What goes on by itself.

    def _on_beat(self) -> None:
        now = self._loop.time()
        nobody = not any(node.ready_connection for node in self._nodes.values())
        for node in self._nodes.values():
            node.beat(now, wanted=nobody or node in self._masters)
        self._dispatch_parked(now)
        self._refresh_when_due()
        self._beat = self._loop.call_at(now + BEAT_S, self._on_beat)

    def _dispatch_parked(self, now: float) -> None:
        parked, self._parked = self._parked, deque()
        for operation in parked:
            if operation.deadline <= now:
                self.fail(operation, self.trouble or "the cluster is not available")
            elif not operation.future.done():
                self._dispatch(operation)

    def _refresh_when_due(self) -> None:
        now = self._loop.time()
        if self._refreshing is not None or now < self._refresh_at:
            return
        connected = [node for node in self._nodes.values() if node.ready_connection is not None]
        if connected:
            self._refresh_at = now + REFRESH_S
            self._refreshing = self._loop.create_task(self._refresh(random.choice(connected)))

    async def _refresh(self, node: Node) -> None:
        """Learn from one node who has which slots. After a wrong or old answer another is asked soon."""
        try:
            connection = node.ready_connection
            if connection is None:
                return
            future: asyncio.Future[Any] = self._loop.create_future()
            connection.send(Operation(("CLUSTER", "SLOTS"), None, future, self._loop.time(), CONNECT_TIMEOUT_S))
            try:
                reply = await future
                ranges = list(read_slots(reply, node.address))
            except (StateUnavailableError, ValueError, TypeError) as error:
                self.trouble = f"{node.address} does not say who has which slots: {error}"
                return
            slots: list[Node | None] = [None] * SLOTS
            known = set(self._settings.seeds)
            for each in ranges:
                slots[each.first : each.last + 1] = [self._node(each.nodes[0])] * (each.last + 1 - each.first)
                known.update(each.nodes)
                for replica in each.nodes[1:]:
                    self._node(replica)
            self._slots = slots
            self._masters = {master for master in slots if master is not None}
            self._replicas = {self._node(each.nodes[0]): each.nodes[1:] for each in ranges}
            self._covered = None not in slots
            if not self._covered:
                self.trouble = "there are slots that no master serves"
            for master in self._masters:
                master.connect()
            for other in [other for other in self._nodes.values() if other not in self._masters]:
                waiting = other.retire()
                if other.address not in known and other.connecting is None:
                    del self._nodes[other.address]
                for operation in waiting:
                    self._dispatch(operation)
            self._dispatch_parked(self._loop.time())
            self._note_health()
            if self.healthy:
                self._refresh_at = float("inf")
        finally:
            self._refreshing = None

    def _node(self, address: Address) -> Node:
        node = self._nodes.get(address)
        if node is None:
            node = self._nodes[address] = Node(self, address)
        return node

    async def connect(self, node: Node) -> Connection:
        """Raises `OSError` and `TimeoutError`."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await self._loop.create_connection(
                lambda: Connection(node, self._greeting), node.address.host, node.address.port
            )
        return connection

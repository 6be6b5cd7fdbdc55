"""Having a replica take over sooner than Redis would, when most nodes of the cluster no longer hear its master.

Redis suspects a master after `cluster-node-timeout`, has the others agree by gossip, and lets the replica wait for half
a second to a whole one before it asks them for their votes. `CLUSTER FAILOVER FORCE` has it ask at once. It is still
the majority of masters that decides, so what is cut off from them can take over nothing, and a master that is only slow
loses its office and nothing else: what `WAIT` saw confirmed is with its replica, and no write that it did not was
acknowledged. What Redis would look at and FORCE does not is looked at here: whether the replica was in step.

Who is heard is told in Redis, in shares as membership is: neither one node that hears badly nor one that is cut off
together with a master brings anything about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from c100k_server.config import Address
from c100k_server.events import emit
from c100k_server.redis.cluster import Cluster, Settings
from c100k_server.redis.conversation import converse
from c100k_server.redis.errors import CommandError, StateUnavailableError
from c100k_server.redis.replicas import read_facts, was_in_step
from c100k_server.redis.script import Script
from c100k_server.redis.slots import even_keys

LOOK_S = 0.1
# How long a node's word that it does not hear a master counts.
SUSPICION_MS = 500
SHARES = 16
CONVERSATION_S = 0.5
# Until a replica that was asked is asked again. Its election takes a tenth of that.
AGAIN_S = 2.0
# A replica may have heard from its master so much longer ago than the nodes: masters say something once a second.
IN_STEP_S = 2.0

_KEYS = even_keys("c100k:silent:", SHARES)

# KEYS: a share. ARGV: master, node, how long its word counts in ms. Returns how many nodes do not hear this master.
SUSPECT = Script(
    "suspect a master",
    """
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
    redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1] .. ' ' .. ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    local count = 0
    for _, word in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
      if string.sub(word, 1, #ARGV[1] + 1) == ARGV[1] .. ' ' then count = count + 1 end
    end
    return count
    """,
)


class _Look:
    """What the shares say of one master."""

    __slots__ = ("agreed",)

    def __init__(self) -> None:
        self.agreed = 0


class Failover:
    """Watches the masters on behalf of `node`, one of as many as `nodes` tells, of none while it is not one of them.

    A master is silent after `silence_s`, and at once when its host refuses connections.
    """

    def __init__(
        self, redis: Cluster, settings: Settings, node: str, nodes: Callable[[], int], silence_s: float
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._node = node
        self._nodes = nodes
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._asked_at: dict[Address, float] = {}
        self._asking: set[asyncio.Task[None]] = set()
        self._timer = self._loop.call_later(LOOK_S, self._look)

    async def close(self) -> None:
        self._timer.cancel()
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)

    def _look(self) -> None:
        self._timer = self._loop.call_later(LOOK_S, self._look)
        if not self._nodes():
            return
        for master, replicas in self._redis.quiet_masters(self._silence_s).items():
            # Of several, Redis lets the one that has most take over; asked from outside, none would wait for another.
            if len(replicas) == 1 and self._may_ask(master):
                look = _Look()
                for key in _KEYS:
                    args = (str(master), self._node, SUSPICION_MS)
                    told = self._redis.script(SUSPECT, [key], args, timeout_s=SUSPICION_MS / 1000)
                    told.add_done_callback(partial(self._told, look, master, replicas[0]))

    def _may_ask(self, master: Address) -> bool:
        return self._loop.time() - self._asked_at.get(master, -AGAIN_S) >= AGAIN_S

    def _told(self, look: _Look, master: Address, replica: Address, told: asyncio.Future[Any]) -> None:
        if told.cancelled() or isinstance(told.exception(), StateUnavailableError | CommandError):
            return
        look.agreed += told.result() > self._nodes() // 2
        if look.agreed == SHARES // 2 + 1 and self._may_ask(master):
            self._asked_at[master] = self._loop.time()
            task = self._loop.create_task(self._ask(master, replica))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, master: Address, replica: Address) -> None:
        try:
            (told,) = await converse(self._settings, replica, ("INFO", "replication"), timeout_s=CONVERSATION_S)
            facts = read_facts(told.decode())
            if facts["role"] == "master":
                return  # another node was faster
            if not was_in_step(facts, self._silence_s + IN_STEP_S):
                emit("failover_refused", master=str(master), replica=str(replica), reason="it was not in step")
                return
            await converse(self._settings, replica, ("CLUSTER", "FAILOVER", "FORCE"), timeout_s=CONVERSATION_S)
        except (CommandError, StateUnavailableError) as error:
            emit("failover_refused", master=str(master), replica=str(replica), reason=str(error))
        else:
            emit("failover_asked", master=str(master), replica=str(replica))

"""A replica that takes over because the nodes ask it to: a Redis Cluster that would not do so by itself for minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from c100k_server.config import Address
from c100k_server.redis.cluster import REFUSALS
from c100k_server.redis.node import Node
from c100k_server.redis.operation import Operation
from c100k_server.redis.replicas import read_facts

from .test_membership import OFFER, members

# For how long what should not happen is waited for: several times what it would take.
PATIENCE_S = 3.0


@pytest.fixture
def watching(nodes: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Start nodes that agree on a master's silence."""

    def start(*names: str, silence_s: float = 0.5) -> list[Any]:
        servers = [nodes(name, "--redis-failover-after-s", str(silence_s)) for name in names]
        servers[0].wait_until(lambda: members(servers[0]) == list(names))
        return servers

    return start


def is_master(redis: Any, index: int) -> bool:
    return bool(redis.command(index, "ROLE")[0] == b"master")


@pytest.mark.parametrize(("how", "silence_s"), [("kill", 60), ("pause", 0.5)])
def test_sessions_of_a_master_that_is_gone_go_on(
    how: str, silence_s: float, patient_redis: Any, watching: Callable[..., list[Any]]
) -> None:
    # Whose host refuses connections is not given the time of a silent one.
    servers = watching("a", "b", "c", silence_s=silence_s)
    client = servers[0].connect(initialized=False)
    session = client.request("initialize", OFFER)["result"]["_meta"]["c100k/sessionId"]
    assert client.request("tools/call", {"name": "increment", "arguments": {"operation": 1}})["result"]
    key = f"c100k:s:{{{session}}}"
    master = patient_redis.master_of(key)
    replica = patient_redis.replicas_of(master)[0]

    getattr(patient_redis, how)(master)

    servers[0].wait_until(lambda: is_master(patient_redis, replica))
    elsewhere = servers[1].connect(initialized=False)
    assert "result" in elsewhere.request("c100k/resume", {"sessionId": session})
    counted = elsewhere.request("tools/call", {"name": "increment", "arguments": {"operation": 2}})
    assert counted["result"]["structuredContent"]["n"] == 2


def test_what_was_refused_is_not_held_against_a_master_that_is_back() -> None:
    class Refusing:
        """A cluster whose nodes are all gone."""

        def __init__(self) -> None:
            self.trouble = ""
            self.failed: list[str] = []

        async def connect(self, _node: Node) -> None:
            raise ConnectionRefusedError

        def doubt(self) -> None: ...

        def fail(self, _operation: Operation, reason: str) -> None:
            self.failed.append(reason)

    async def play() -> None:
        cluster: Any = Refusing()
        node = Node(cluster, Address("127.0.0.1", 1))
        loop = asyncio.get_running_loop()
        while node.refusals < REFUSALS:
            node.connect()
            await asyncio.sleep(0.01)
        operation = Operation(("GET", "a"), 0, loop.create_future(), loop.time() + 60, 1.0)
        node.take(operation)
        assert cluster.failed == ["127.0.0.1:1 does not answer"]

        # Another is master, and then this one again.
        node.retire()
        assert node.refusals == 0
        node.take(operation)
        assert len(cluster.failed) == 1

    asyncio.run(play())


def test_a_client_that_resumes_meanwhile_waits_and_is_not_refused(
    patient_redis: Any, nodes: Callable[..., Any]
) -> None:
    server = nodes("a")
    session = server.connect(initialized=False).request("initialize", OFFER)["result"]["_meta"]["c100k/sessionId"]
    master = patient_redis.master_of(f"c100k:s:{{{session}}}")
    replica = patient_redis.replicas_of(master)[0]
    patient_redis.kill(master)
    client = server.connect(initialized=False)
    client.send({"jsonrpc": "2.0", "id": 1, "method": "c100k/resume", "params": {"sessionId": session}})
    # No vote is asked for: masters do not vote twice about one master within two of their time-outs, here 20 minutes.
    patient_redis.command(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
    assert "result" in client.receive()


def test_one_node_that_does_not_hear_a_master_is_not_enough(
    patient_redis: Any, watching: Callable[..., list[Any]], nodes: Callable[..., Any]
) -> None:
    servers = [*watching("a"), nodes("b"), nodes("c")]
    servers[0].wait_until(lambda: members(servers[0]) == ["a", "b", "c"])
    master = patient_redis.master_of("any")
    replica = patient_redis.replicas_of(master)[0]
    patient_redis.pause(master)
    time.sleep(PATIENCE_S)
    assert not is_master(patient_redis, replica)


def test_a_replica_that_may_lack_writes_is_not_asked(patient_redis: Any, watching: Callable[..., list[Any]]) -> None:
    servers = watching("a", "b", "c")
    master = patient_redis.master_of("any")
    replica = patient_redis.replicas_of(master)[0]
    # It loses its master and is not let in again, long before the master dies.
    patient_redis.command(master, "ACL", "SETUSER", "default", "-psync", "-sync")
    patient_redis.command(master, "CLIENT", "KILL", "TYPE", "replica")
    servers[0].wait_until(lambda: link_down_s(patient_redis, replica) >= 4)
    patient_redis.kill(master)
    assert servers[0].event("failover_refused")["reason"] == "it was not in step"
    assert not is_master(patient_redis, replica)


def link_down_s(redis: Any, replica: int) -> int:
    facts = read_facts(redis.command(replica, "INFO", "replication").decode())
    return int(facts.get("master_link_down_since_seconds", 0))

"""A replica that takes over because the nodes ask it to: a Redis Cluster that would not do so by itself for minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis_cluster import NODE_TIMEOUT_MS

from c100k_server.redis.replicas import read_facts

from .test_membership import OFFER, members

# For how long what should not happen is waited for: several times what it would take.
PATIENCE_S = 3.0


@pytest.fixture
def patient_redis(redis: Any) -> Iterator[Any]:
    """A Redis Cluster that suspects nobody by itself."""
    for index in range(8):
        redis.command(index, "CONFIG", "SET", "cluster-node-timeout", 600_000)
    yield redis
    for index in range(8):
        redis.resume(index)
        if redis.servers[index].poll() is None:
            redis.command(index, "CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MS)


@pytest.fixture
def watching(nodes: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Start nodes that agree on a master's silence."""

    def start(*names: str) -> list[Any]:
        servers = [nodes(name, "--redis-failover-after-s", "0.5") for name in names]
        servers[0].wait_until(lambda: members(servers[0]) == list(names))
        return servers

    return start


def is_master(redis: Any, index: int) -> bool:
    return bool(redis.command(index, "ROLE")[0] == b"master")


@pytest.mark.parametrize("how", ["kill", "pause"])
def test_sessions_of_a_silent_master_go_on(how: str, patient_redis: Any, watching: Callable[..., list[Any]]) -> None:
    servers = watching("a", "b", "c")
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

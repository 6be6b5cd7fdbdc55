"""Which nodes are in the cluster, as operators and clients are told: real servers on a Redis Cluster."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

OFFER = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"experimental": {"c100k/resume": {}}},
    "clientInfo": {"name": "test", "version": "0"},
}
STATE_UNAVAILABLE = -32010


def members(server: Any) -> list[str]:
    """The nodes that live, as a server sees them."""
    status, text = server.get("/cluster")
    assert status == 200
    return [node["name"] for node in json.loads(text)["nodes"]]


def is_ready(server: Any) -> bool:
    return bool(server.get("/readyz")[0] == 200)


def test_nodes_come_and_go(nodes: Callable[..., Any]) -> None:
    first, second = nodes("a"), nodes("b")
    first.wait_until(lambda: members(first) == ["a", "b"])
    assert json.loads(first.get("/cluster")[1])["node"] == "a"
    # One that stops says goodbye; of one that dies the lease ends.
    assert second.stop() == 0
    first.wait_until(lambda: members(first) == ["a"])
    third = nodes("c")
    first.wait_until(lambda: members(first) == ["a", "c"])
    third.process.kill()
    first.wait_until(lambda: members(first) == ["a"])


def test_a_node_that_is_cut_off_takes_no_sessions(nodes: Callable[..., Any], redis: Any) -> None:
    server = nodes("a")
    client, plain = server.connect(initialized=False), server.connect()
    assert "result" in client.request("initialize", OFFER)
    assert is_ready(server)
    for index in range(8):
        redis.pause(index)
    server.wait_until(lambda: not is_ready(server))
    assert "cut off" in server.get("/readyz")[1]
    assert client.receive()["method"] == "notifications/c100k/unavailable"
    late = server.connect(initialized=False)
    assert late.request("initialize", OFFER)["error"]["code"] == STATE_UNAVAILABLE
    assert late.request("c100k/resume", {"sessionId": "0" * 32})["error"]["code"] == STATE_UNAVAILABLE
    # What needs no state goes on, for clients that have none.
    assert "result" in plain.echo("still")
    for index in range(8):
        redis.resume(index)
    server.wait_until(lambda: is_ready(server))
    assert client.receive()["method"] == "notifications/c100k/available"
    server.wait_until(lambda: "result" in late.request("initialize", OFFER))


def test_the_death_of_a_master_takes_nobody_out(nodes: Callable[..., Any], redis: Any) -> None:
    server = nodes("a")
    redis.kill(0)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert is_ready(server)
        time.sleep(0.1)


def test_without_a_cluster_there_is_no_page_of_it(server: Any) -> None:
    assert server.get("/cluster")[0] == 404
    assert is_ready(server)

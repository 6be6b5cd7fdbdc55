"""Sessions that go on at another node: two servers on a Redis Cluster, of which either may die at any time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[4] / "server" / "examples"
RESUMABLE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"experimental": {"c100k/resume": {}}},
    "clientInfo": {"name": "test", "version": "0"},
}
STATE_UNAVAILABLE = -32010
SESSION_MOVED = -32011


class Resumable:
    """A client with a session that outlives its connections."""

    def __init__(self, server: Any) -> None:
        self.client = server.connect(initialized=False)
        result = self.client.request("initialize", RESUMABLE, 0)["result"]
        self.id: str = result["_meta"]["c100k/sessionId"]
        self.event_id: str = result["_meta"]["c100k/eventId"]

    def resume(self, server: Any, **params: Any) -> dict[str, Any]:
        """Go on over a new connection; the answer, which follows those of earlier attempts."""
        self.client = server.connect(initialized=False)
        given = {"sessionId": self.id, "lastEventId": self.event_id, **params}
        answer: dict[str, Any] = self.client.request("c100k/resume", given)
        if "result" in answer:
            self.event_id = answer["result"]["eventId"]
        return answer

    def call(self, name: str, **arguments: Any) -> Any:
        answer = self.client.request("tools/call", {"name": name, "arguments": arguments}, 7)
        while answer and "id" not in answer:
            answer = self.client.receive()
        return answer["result"].get("structuredContent", answer["result"]) if "result" in answer else answer["error"]

    def increment(self, operation: int) -> Any:
        return self.call("increment", operation=operation)


def died(server: Any) -> None:
    """All its processes at once, so that nobody says goodbye."""
    workers = list(server.pids.values())
    server.process.kill()
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()


def test_a_session_goes_on_at_another_node(nodes: Callable[..., Any]) -> None:
    first, second = nodes("a"), nodes("b")
    client = Resumable(first)
    assert client.increment(1) == {"operation": 1, "n": 1}
    assert client.increment(2) == {"operation": 2, "n": 2}
    died(first)
    answer = client.resume(second)
    assert answer["result"]["protocolVersion"] == "2025-11-25"
    assert answer["result"]["missed"] == 0
    assert client.call("read") == {"operation": 2, "n": 2}
    assert client.increment(2) == {"operation": 2, "n": 2}, "an operation that is repeated is not done again"
    assert client.increment(3) == {"operation": 3, "n": 3}
    second.wait_until(lambda: second.total("sessions_claimed_total") == 1)


def test_without_the_capability_nothing_is_stored(nodes: Callable[..., Any], redis: Any) -> None:
    server = nodes("a")
    client = server.connect()
    assert "_meta" not in server.connect(initialized=False).initialize()["result"]
    assert client.request("tools/call", {"name": "increment", "arguments": {"operation": 5}})["result"][
        "structuredContent"
    ] == {"operation": 5, "n": 1}
    assert server.total("stored_sessions") == 0


def test_unknown_sessions_and_late_resumptions_are_refused(nodes: Callable[..., Any]) -> None:
    server = nodes("a")
    client = Resumable(server)
    for unknown in ("0" * 32, "no{such}"):
        assert client.resume(server, sessionId=unknown)["error"]["code"] == -32004
    assert client.resume(server)["result"]["missed"] == 0
    again = client.client.request("c100k/resume", {"sessionId": client.id})
    assert again["error"]["code"] == -32600
    fresh = server.connect(initialized=False)
    assert fresh.request("c100k/resume", {"sessionId": 1})["error"]["code"] == -32602


def test_an_owner_that_was_away_cannot_overwrite(nodes: Callable[..., Any]) -> None:
    first, second = nodes("a"), nodes("b")
    client = Resumable(first)
    client.increment(1)
    stale = client.client
    os.kill(first.pids[0], signal.SIGSTOP)
    assert client.resume(second)["result"]
    assert client.increment(2) == {"operation": 2, "n": 2}
    os.kill(first.pids[0], signal.SIGCONT)
    answer = stale.request("tools/call", {"name": "increment", "arguments": {"operation": 9}})
    assert answer["error"]["code"] == SESSION_MOVED
    assert stale.receive() is None
    first.wait_closed("moved")
    assert client.call("read") == {"operation": 2, "n": 2}
    first.wait_until(lambda: first.total("sessions_fenced_total") == 1)


def test_a_stale_owner_does_not_answer_reads(nodes: Callable[..., Any]) -> None:
    first, second = nodes("a"), nodes("b")
    client = Resumable(first)
    stale = client.client
    client.resume(second)
    client.increment(1)
    answer = stale.request("tools/call", {"name": "read", "arguments": {}})
    assert answer["error"]["code"] == SESSION_MOVED


def test_a_session_goes_on_before_its_replica_does(nodes: Callable[..., Any], patient_redis: Any) -> None:
    first, second = nodes("a"), nodes("b")
    client = Resumable(first)
    client.increment(1)
    replica = patient_redis.replicas_of(patient_redis.master_of(f"c100k:s:{{{client.id}}}"))[0]
    patient_redis.pause(replica)
    # To be its owner takes the master alone. What it says of itself waits for the replica, that it has not changed too.
    assert client.resume(second)["result"]
    assert client.call("echo", text="here")["content"][0]["text"] == "here"
    for name, arguments in (("read", {}), ("increment", {"operation": 2})):
        assert client.call(name, **arguments)["code"] == STATE_UNAVAILABLE
    patient_redis.resume(replica)
    assert client.increment(2) == {"operation": 2, "n": 2}
    assert client.call("read") == {"operation": 2, "n": 2}


def test_acknowledged_increments_survive_nodes_and_masters(nodes: Callable[..., Any], redis: Any) -> None:
    first, second = nodes("a"), nodes("b")
    clients = [Resumable(first) for _ in range(12)]
    until = time.monotonic() + 6
    problems: list[str] = []

    def work(client: Resumable) -> None:
        operation = 1
        servers = [second, first]
        while time.monotonic() < until:
            try:
                answer = client.increment(operation)
                if answer.get("code") in (STATE_UNAVAILABLE, SESSION_MOVED):
                    time.sleep(0.05)
                elif answer != {"operation": operation, "n": operation}:
                    problems.append(f"{operation}: {answer}")
                    return
                else:
                    operation += 1
            except (OSError, AssertionError, TypeError):
                # The connection is gone, with or without the answer.
                while "result" not in client.resume(servers[0]):
                    time.sleep(0.05)
        client.operation = operation  # type: ignore[attr-defined]

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    redis.kill(redis.master_of(f"c100k:s:{{{clients[0].id}}}"))
    time.sleep(0.3)
    died(first)
    for thread in threads:
        thread.join()
    assert not problems
    for client in clients:
        last = client.operation - 1  # type: ignore[attr-defined]
        assert last > 10
        assert client.call("read") == {"operation": last, "n": last}


def test_without_redis_calls_go_on_and_state_comes_back(nodes: Callable[..., Any], redis: Any) -> None:
    server = nodes("a")
    client = Resumable(server)
    client.increment(1)
    for index in range(8):
        redis.pause(index)
    assert client.call("echo", text="hello")["content"][0]["text"] == "hello"
    assert client.increment(2)["code"] == STATE_UNAVAILABLE
    assert client.increment(2)["data"]["retryAfterMs"] > 0
    fresh = server.connect(initialized=False)
    assert fresh.request("initialize", RESUMABLE)["error"]["code"] == STATE_UNAVAILABLE
    assert server.connect().echo("stateless")["result"]
    for index in range(8):
        redis.resume(index)
    server.wait_until(lambda: server.total("redis_up") == 1)
    server.wait_until(lambda: client.increment(2) == {"operation": 2, "n": 2})
    server.wait_until(lambda: server.get("/readyz")[0] == 200)
    assert "result" in fresh.request("initialize", RESUMABLE)


def test_what_waits_for_redis_in_vain_takes_little_memory(nodes: Callable[..., Any], redis: Any) -> None:
    clients, ahead, rounds = 100, 50, 3
    server = nodes("a")
    sessions = [Resumable(server) for _ in range(clients)]
    for session in sessions:
        session.increment(1)
    before = server.total("resident_memory_bytes")
    for index in range(8):
        redis.pause(index)
    operation = 1
    for _ in range(rounds):
        for session in sessions:
            for number in range(ahead):
                call = {"name": "increment", "arguments": {"operation": operation + 1 + number}}
                session.client.send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call})
        operation += ahead
        for session in sessions:
            answers: list[dict[str, Any]] = []
            while len(answers) < ahead:
                answer = session.client.receive()
                if "id" in answer:
                    answers.append(answer)
            assert all(answer["error"]["data"]["retryAfterMs"] > 0 for answer in answers)
    # 15,000 writes that could not be made, of 5,000 at a time.
    assert server.total("resident_memory_bytes") - before < 32 * 2**20
    assert server.total("connections") == clients
    for index in range(8):
        redis.resume(index)
    for session in sessions:
        server.wait_until(lambda session=session: "n" in session.increment(operation + 1))
    assert sum(server.total("connections_closed_total", cause) for cause in ("reset", "peer")) == 0


def test_leases_end_and_are_renewed(nodes: Callable[..., Any], redis: Any) -> None:
    server = nodes("a", "--session-lease-s", "1.5")
    kept, left = Resumable(server), Resumable(server)
    kept.increment(1)
    left.client.socket.close()
    time.sleep(2.5)
    assert kept.call("read") == {"operation": 1, "n": 1}
    assert left.resume(server)["error"]["code"] == -32004


def test_changes_that_were_missed_are_told_on_return(
    nodes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    first, second = nodes("a", "notes:app"), nodes("b", "notes:app")
    client, writer = Resumable(first), second.connect()
    for uri in ("notes://one", "notes://two", "notes://three"):
        client.client.request("resources/subscribe", {"uri": uri})
    client.client.request("resources/unsubscribe", {"uri": "notes://three"})

    def write(title: str) -> None:
        writer.request("tools/call", {"name": "write", "arguments": {"title": title, "text": "x"}})

    write("one")
    told = client.client.receive()["params"]
    assert told["uri"] == "notes://one"
    client.event_id = told["_meta"]["c100k/eventId"]
    died(first)
    for title in ("two", "two", "three", "four"):
        write(title)
    # Until the last of them has come back to the node there may be more to come.
    seen = client.event_id
    second.wait_until(lambda: client.resume(second, lastEventId=seen)["result"]["missed"] == 1)
    told = client.client.receive()["params"]
    assert told["uri"] == "notes://two"
    assert told["_meta"]["c100k/eventId"] > seen
    write("one")
    assert client.client.receive()["params"]["uri"] == "notes://one"

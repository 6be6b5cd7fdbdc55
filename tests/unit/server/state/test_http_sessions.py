"""Sessions of Streamable HTTP on any node of a cluster, and what its clients hear wherever they are."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
EXAMPLES = Path(__file__).parents[4] / "server" / "examples"
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


class HttpClient:
    """A session, over connections to any node."""

    def __init__(self, server: Any) -> None:
        status, headers, _ = self.post(server, "initialize", INITIALIZE)
        assert status == 200
        self.id = headers["Mcp-Session-Id"]

    def post(self, server: Any, method: str, params: Any) -> tuple[int, Any, Any]:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        return self._ask(server, "POST", body)

    def call(self, server: Any, name: str, **arguments: Any) -> Any:
        status, _, answer = self.post(server, "tools/call", {"name": name, "arguments": arguments})
        return answer["result"]["structuredContent"] if status == 200 else status

    def delete(self, server: Any) -> int:
        return self._ask(server, "DELETE", None)[0]

    def listen(self, server: Any, last_event_id: str | None = None) -> Iterator[tuple[str, Any]]:
        """The events of a GET stream, each with its id; those without data are passed over."""
        connection = socket.create_connection(server.http, 10)
        last = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
        session = f"Mcp-Session-Id: {self.id}\r\n"
        head = f"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{session}{last}\r\n"
        connection.sendall(head.encode())
        with connection, connection.makefile("rb") as lines:
            assert b" 200 " in lines.readline()
            event_id = ""
            for line in lines:
                if line.startswith(b"id: "):
                    event_id = line[4:].decode().strip()
                elif line.startswith(b"data: "):
                    text = line[6:].strip()
                    yield event_id, json.loads(text) if text else None

    def _ask(self, server: Any, method: str, body: str | None) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection(*server.http, timeout=10)
        session = {"Mcp-Session-Id": self.id} if hasattr(self, "id") else {}
        connection.request(method, "/mcp", body, {**HEADERS, **session})
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, response.headers, json.loads(data) if data else None


def test_a_session_that_turns_out_to_be_another_s_is_not_said_to_be_closed(
    nodes: Callable[..., Any], redis: Any
) -> None:
    server = nodes("a")
    client = HttpClient(server)
    key = f"c100k:s:{{{client.id}}}"
    # As after a failover to a replica that had not heard of the last owner.
    redis.command(redis.master_of(key), "HSET", key, "o", "elsewhere/0.1.1")
    assert client.delete(server) == 503
    assert client.delete(server) == 204
    assert client.call(server, "read") == 404


def test_a_session_goes_on_at_any_node(nodes: Callable[..., Any]) -> None:
    first, second = nodes("a"), nodes("b")
    client = HttpClient(first)
    assert client.call(first, "increment", operation=1) == {"operation": 1, "n": 1}
    assert client.call(second, "increment", operation=2) == {"operation": 2, "n": 2}
    for pid in first.pids.values():
        os.kill(pid, signal.SIGKILL)
    assert client.call(second, "read") == {"operation": 2, "n": 2}
    assert client.delete(second) == 204
    assert client.call(second, "read") == 404


def test_a_node_that_lost_a_session_says_so_and_takes_it_back(nodes: Callable[..., Any]) -> None:
    first, second = nodes("a"), nodes("b")
    client = HttpClient(first)
    client.call(second, "increment", operation=1)
    # It learns that the session moved when it makes sure; the client asks again.
    assert client.call(first, "increment", operation=2) == 503
    assert client.call(first, "increment", operation=2) == {"operation": 2, "n": 2}


def test_workers_of_one_node_hand_connections_over(nodes: Callable[..., Any]) -> None:
    server = nodes("a", "--workers", "2")
    client = HttpClient(server)
    for operation in range(1, 30):
        assert client.call(server, "increment", operation=operation) == {"operation": operation, "n": operation}
    # It was created once, and never had to be claimed.
    server.wait_until(lambda: server.total("stored_sessions") == 1)
    assert server.total("sessions_claimed_total") == 0


def test_without_redis_the_answer_is_to_retry(nodes: Callable[..., Any], redis: Any) -> None:
    server = nodes("a")
    client = HttpClient(server)
    for index in range(8):
        redis.pause(index)
    status, headers, _ = client.post(server, "tools/call", {"name": "read", "arguments": {}})
    assert (status, headers["Retry-After"]) == (503, "1")
    assert client.post(server, "tools/list", {})[0] == 200
    del client.id
    assert client.post(server, "initialize", INITIALIZE)[0] == 503


@pytest.mark.parametrize("gap", [False, True])
def test_a_stream_is_continued_at_another_node(
    nodes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, gap: bool
) -> None:
    monkeypatch.chdir(EXAMPLES)
    first, second = nodes("a", "notes:app"), nodes("b", "notes:app")
    client, writer = HttpClient(first), HttpClient(second)
    assert client.post(first, "resources/subscribe", {"uri": "notes://one"})[0] == 200
    stream = client.listen(first)
    begun, _ = next(stream)
    writer.post(second, "tools/call", {"name": "write", "arguments": {"title": "one", "text": "x"}})
    seen, event = next(stream)
    assert event["method"] == "notifications/resources/updated"
    assert event["params"]["uri"] == "notes://one"
    for pid in first.pids.values():
        os.kill(pid, signal.SIGKILL)
    if gap:
        writer.post(second, "tools/call", {"name": "write", "arguments": {"title": "one", "text": "y"}})
    again = client.listen(second, seen if gap else begun)
    _, event = next(again)
    assert event["params"]["uri"] == "notes://one"

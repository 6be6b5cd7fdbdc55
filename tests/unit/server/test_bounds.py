"""What one worker takes on in total, and when it gives up peers that are gone."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from c100k_server.config import Address, KeepAlive
from c100k_server.sockets import shared_listener

APP = """
import asyncio

from c100k_server import App

app = App("slow")


@app.tool
async def wait() -> str:
    await asyncio.sleep(60)
    return "done"
"""
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


@pytest.fixture
def slow(start_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A server whose one worker takes two requests at a time."""
    (tmp_path / "slow.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return start_server("slow:app", "--http", "127.0.0.1:0", "--workers", "1", "--in-flight-max", "2", "--drain-s", "0")


def test_requests_under_way_are_bounded_over_all_connections(slow: Any) -> None:
    clients = [slow.connect() for _ in range(3)]
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "wait"}}
    clients[0].send(call)
    clients[1].send(call)
    slow.wait_until(lambda: slow.total("messages_received_total") == 8)
    clients[2].send(call)
    refused = clients[2].receive()
    assert (refused["id"], refused["error"]["code"]) == (7, -32000)
    assert clients[2].request("ping")["result"] == {}
    clients[0].send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
    slow.wait_until(lambda: slow.total("requests_in_flight") == 1)
    clients[2].send(call)
    assert clients[2].request("ping", request_id="taken")["id"] == "taken"


def test_http_says_when_to_come_back(slow: Any) -> None:
    call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "wait"}}
    for _ in range(2):
        slow.connect().send(call)
    slow.wait_until(lambda: slow.total("messages_received_total") == 6)
    connection = http.client.HTTPConnection(*slow.http, timeout=10)
    headers = {"Content-Type": "application/json", "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call"}
    body = {**call, "params": {"name": "wait", "_meta": META}}
    connection.request("POST", "/mcp", json.dumps(body), {**headers, "Mcp-Name": "wait"})
    response = connection.getresponse()
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert json.loads(response.read())["error"]["code"] == -32000
    connection.close()


def test_accepted_sockets_are_watched_by_the_kernel(start_server: Any) -> None:
    server = start_server("--workers", "1", "--keepalive-idle-s", "70", "--http", "127.0.0.1:0")
    client = server.connect()
    host, port = client.socket.getsockname()
    listed = subprocess.run(
        ["ss", "-tno", "state", "established", f"src {server.tcp[0]}:{server.tcp[1]} and dst {host}:{port}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    minutes, seconds = re.findall(r"timer:\(keepalive,(?:(\d+)min)?(?:([\d.]+)sec)?", listed)[0]
    assert 0 < int(minutes or 0) * 60 + float(seconds or 0) <= 70


def test_accepted_sockets_inherit_what_the_listener_was_told() -> None:
    listener = shared_listener(Address("127.0.0.1", 0), KeepAlive(idle_s=30, interval_s=5, probes=3))
    with listener:
        listener.listen()
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            tcp = {
                name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            }
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert tcp == {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 45_000}

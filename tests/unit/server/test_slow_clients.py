"""Clients that do not read, or hardly send, beside clients that behave: the ones are cut off, the others are served."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

EACH = 5
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
LIMITS = ("--write-buffer-bytes", "20000", "--slow-reader-s", "1", "--http-request-s", "3", "--message-s", "3")


def http_request(request_id: int) -> bytes:
    message = {"jsonrpc": "2.0", "id": request_id, "method": "tools/list", "params": {"_meta": META}}
    body = json.dumps(message).encode()
    head = b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n"
    return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def tcp_request(request_id: int) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "ping"}).encode() + b"\n"


@pytest.fixture
def connect() -> Iterator[Callable[[tuple[str, int]], socket.socket]]:
    with ExitStack() as sockets:

        def connect(address: tuple[str, int]) -> socket.socket:
            connection = sockets.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(10)
            connection.connect(address)
            return connection

        yield connect


def fill(connection: socket.socket, requests: bytes) -> None:
    """Send until the server takes no more, and cuts it off."""
    with suppress(ConnectionError):
        while True:
            connection.sendall(requests)


def test_others_are_served_beside_slow_clients(start_server: Any, connect: Any) -> None:
    server = start_server("--http", "127.0.0.1:0", "--workers", "1", *LIMITS)
    behaves = server.connect()
    for _ in range(EACH):
        fill(connect(server.tcp), tcp_request(1) * 1000)
        fill(connect(server.http), http_request(1) * 200)
    over_http = [(connect(server.http), http_request(1)) for _ in range(EACH)]
    over_tcp = [(connect(server.tcp), tcp_request(1).replace(b"ping", b"p" * 100)) for _ in range(EACH)]
    silent = [connect(server.tcp) for _ in range(EACH)]
    for position in range(100):
        assert behaves.echo(f"still served {position}", position)["id"] == position
        for sender, request in over_http + over_tcp:
            # Until they are cut off.
            with suppress(OSError):
                sender.send(request[position : position + 1])
    server.wait_closed("slow_reader", 2 * EACH)
    server.wait_closed("slow_request", 2 * EACH + len(silent))
    assert behaves.echo("to the end")["result"]
    assert server.total("connections") == 1


def test_who_always_has_a_message_half_sent_but_none_for_long_is_served(start_server: Any, connect: Any) -> None:
    server = start_server("--workers", "1", "--message-s", "2")
    connection = connect(server.tcp)
    request = tcp_request(1)
    connection.sendall(request[:10])
    for _ in range(4):
        time.sleep(0.8)
        connection.sendall(request[10:] + request[:10])
        assert connection.recv(4096).endswith(b"}\n")


def test_many_requests_at_once_are_all_answered_in_order(start_server: Any, connect: Any) -> None:
    server = start_server("--http", "127.0.0.1:0", "--workers", "1", "--write-buffer-bytes", "20000")
    for address, request in ((server.tcp, tcp_request), (server.http, http_request)):
        connection = connect(address)
        connection.setblocking(True)
        count = 3000
        stream = b"".join(request(number) for number in range(count))
        received = b""
        sent = 0
        while received.count(b'"jsonrpc"') < count:
            connection.settimeout(0.05 if sent < len(stream) else 10)
            try:
                while sent < len(stream):
                    sent += connection.send(stream[sent : sent + 65536])
            except TimeoutError:
                connection.settimeout(10)
            received += connection.recv(65536)
        positions = [received.index(b'"id":%d,' % number) for number in range(count)]
        assert positions == sorted(positions)

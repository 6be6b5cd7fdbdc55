"""Connections that misbehave, and the cause that each close is counted under."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
LIST = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}\n'


def send_until_refused(connection: socket.socket, stream: bytes) -> int:
    """Send until the server reads no more and the kernel's buffers on both sides are full; how much was sent."""
    timeout_s = connection.gettimeout()
    connection.settimeout(0.3)
    sent = 0
    try:
        while sent < len(stream):
            sent += connection.send(stream[sent : sent + 65536])
    except TimeoutError:
        connection.settimeout(timeout_s)
        return sent
    raise AssertionError(f"the server has read {sent} bytes of a peer that reads none")


def test_peer_that_closes(start_server: Any) -> None:
    server = start_server("--workers", "1")
    server.connect().socket.close()
    server.wait_closed("peer")
    assert server.total("connections") == 0


def test_peer_that_resets(start_server: Any) -> None:
    server = start_server("--workers", "1")
    client = server.connect()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
    server.wait_closed("reset")


def test_peer_that_half_closes_gets_its_answers(start_server: Any) -> None:
    server = start_server("--workers", "1")
    client = server.connect()
    client.send(LIST * 5000)
    client.socket.shutdown(socket.SHUT_WR)
    answers = 0
    while client.receive() is not None:
        answers += 1
    assert answers == 5000
    server.wait_closed("peer")


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_message_that_is_too_long(start_server: Any, ending: bytes) -> None:
    server = start_server("--workers", "1", "--max-line-bytes", "1000")
    client = server.connect()
    client.send(PING, b"x" * 1001 + ending, PING * 3000)
    assert client.receive()["result"] == {}
    error = client.receive()["error"]
    assert error["code"] == -32600
    assert "1000 bytes" in error["message"]
    assert client.receive() is None
    client.socket.close()
    server.wait_closed("oversize")


def test_message_that_just_fits(start_server: Any) -> None:
    server = start_server("--workers", "1", "--max-line-bytes", "1000")
    client = server.connect()
    client.send(PING.rstrip().ljust(1000) + b"\n")
    assert client.receive()["result"] == {}


def test_peer_that_neither_reads_nor_closes_after_a_refusal(start_server: Any) -> None:
    server = start_server("--workers", "1", "--max-line-bytes", "1000", "--slow-reader-s", "0.5")
    client = server.connect()
    client.send(b"x" * 2000)
    server.wait_closed("oversize")


def test_slow_reader_is_paused_then_disconnected(start_server: Any) -> None:
    server = start_server("--workers", "1", "--write-buffer-bytes", "20000", "--slow-reader-s", "1")
    other = server.connect()
    client = server.connect(receive_buffer_bytes=4096)
    sent = send_until_refused(client.socket, LIST * 1_000_000)
    assert server.total("messages_received_total") < sent / len(LIST)
    assert other.echo("still served")["result"]
    server.wait_closed("slow_reader")
    assert server.total("connections") == 1


def test_reader_that_comes_back_in_time_gets_every_answer(start_server: Any) -> None:
    server = start_server("--workers", "1", "--write-buffer-bytes", "20000", "--slow-reader-s", "30")
    client = server.connect(receive_buffer_bytes=4096)
    call = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"echo","arguments":{"text":"%b"}}}\n'
    messages = b"".join(call % (n, b"x" * 10_000) for n in range(4000))
    sent = send_until_refused(client.socket, messages)
    whole = messages[:sent].count(b"\n")
    assert [client.receive()["id"] for _ in range(whole)] == list(range(whole))
    client.send(messages[sent : messages.index(b"\n", sent) + 1])
    assert client.receive()["id"] == whole


def test_connections_beyond_the_file_limit_are_refused_and_counted(start_server: Any) -> None:
    server = start_server("--workers", "1", "--connections", "10", file_limit=94)
    clients = [server.connect() for _ in range(30)]
    refused = server.connect(initialized=False)
    assert refused.receive() is None
    server.wait_closed("full")
    assert all(client.echo("held")["result"] for client in clients)

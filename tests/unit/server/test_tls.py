"""TLS on TCP and HTTP: certificates, handshakes, and sessions that live in another worker than their connection."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
PONG = b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}


class Tls:
    """A server with TLS on TCP and HTTP, and clients that trust it."""

    def __init__(self, start_server: Callable[..., Any], files: tuple[str, str], *options: str) -> None:
        self.certificate, self.key = files
        named = ("--tls-cert", self.certificate, "--tls-key", self.key)
        self.server = start_server("--http", "127.0.0.1:0", *named, *options)
        self._open: list[Any] = []

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.certificate)

    def connect(self, receive_buffer_bytes: int | None = None) -> ssl.SSLSocket:
        plain = socket.socket()
        if receive_buffer_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        plain.settimeout(10)
        plain.connect(self.server.tcp)
        self._open.append(self.context().wrap_socket(plain, server_hostname="127.0.0.1"))
        return self._open[-1]

    def http(self) -> http.client.HTTPSConnection:
        self._open.append(http.client.HTTPSConnection(*self.server.http, timeout=10, context=self.context()))
        return self._open[-1]

    def close(self) -> None:
        for each in self._open:
            each.close()


@pytest.fixture
def tls(start_server: Any, certify: Any) -> Iterator[Callable[..., Tls]]:
    started: list[Tls] = []

    def start(*options: str) -> Tls:
        started.append(Tls(start_server, certify("server"), *options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def post(connection: http.client.HTTPConnection, method: str, params: Any, session: str | None = None) -> Any:
    headers = {"Content-Type": "application/json", **({} if session is None else {"Mcp-Session-Id": session})}
    connection.request(
        "POST", "/mcp", json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}), headers
    )
    response = connection.getresponse()
    return response.status, response.headers, json.loads(response.read())


def send_until_refused(client: ssl.SSLSocket, data: bytes) -> None:
    """Send for as long as the server reads."""
    client.settimeout(3)
    with contextlib.suppress(OSError):
        while True:
            client.sendall(data)


def test_messages_over_tls(tls: Any) -> None:
    secure = tls("--workers", "1")
    client = secure.connect()
    assert client.version() == "TLSv1.3"
    client.sendall(PING * 5000)
    with client.makefile("rb") as lines:
        assert [next(lines) for _ in range(5000)] == [PONG] * 5000
    client.unwrap().close()
    secure.server.wait_closed("peer")


def test_what_is_no_handshake_is_counted(tls: Any) -> None:
    secure = tls("--workers", "1", "--tls-handshake-s", "1", "--per-peer", "2")
    with socket.create_connection(secure.server.tcp, timeout=10) as plain:
        plain.sendall(PING)
        while plain.recv(1000):
            pass
    secure.server.wait_closed("tls")
    silent = [socket.create_connection(secure.server.tcp, timeout=10) for _ in range(3)]
    secure.server.wait_closed("peer_limit")
    secure.server.wait_closed("slow_request", 2)
    for each in silent:
        each.close()
    client = secure.connect()
    client.sendall(PING)
    assert client.recv(1000) == PONG
    samples = secure.server.metrics()
    closed = sum(value for key, value in samples.items() if key.startswith("connections_closed_total"))
    assert secure.server.total("connections_opened_total") == closed + 1


def test_refused_message_is_answered_before_the_end(tls: Any) -> None:
    secure = tls("--workers", "1", "--max-line-bytes", "1000")
    client = secure.connect()
    client.sendall(b"x" * 1001)
    with client.makefile("rb") as lines:
        assert json.loads(next(lines))["error"]["code"] == -32600
        assert next(lines, None) is None
    client.close()
    secure.server.wait_closed("oversize")


def test_client_that_does_not_read_is_cut_off(tls: Any) -> None:
    secure = tls("--workers", "1", "--slow-reader-s", "0.5", "--write-buffer-bytes", "10000")
    client = secure.connect(receive_buffer_bytes=4096)
    send_until_refused(client, PING * 1000)
    secure.server.wait_closed("slow_reader")


def test_drain_closes_secure_connections(tls: Any) -> None:
    secure = tls("--workers", "1", "--drain-s", "8")
    client = secure.connect()
    client.sendall(PING)
    assert client.recv(1000) == PONG
    half = socket.create_connection(secure.server.tcp, timeout=10)
    secure.server.process.send_signal(signal.SIGTERM)
    assert client.recv(1000) == b""
    client.close()
    assert secure.server.event("stopped")["killed"] == 0
    half.close()


def test_session_of_another_worker_is_reached_through_tls(tls: Any) -> None:
    secure = tls("--workers", "2")
    status, headers, _ = post(secure.http(), "initialize", INITIALIZE)
    assert status == 200
    session = headers["Mcp-Session-Id"]
    text = "x" * 900_000
    clients = [secure.http() for _ in range(12)]
    for _ in range(3):
        for client in clients:
            echoed = post(client, "tools/call", {"name": "echo", "arguments": {"text": text}}, session)[2]
            assert echoed["result"]["content"][0]["text"] == text
    moved = secure.server.total("connections_closed_total", "moved")
    assert moved > 0
    assert secure.server.total("connections") == 13
    for client in clients:
        client.close()
    secure.server.wait_until(lambda: secure.server.total("connections") == 1)
    assert secure.server.total("connections_closed_total", "moved") == moved


def files_of(server: Any) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.pids.values())


def resident_bytes(server: Any) -> float:
    return sum(value for key, value in server.metrics().items() if key.startswith('resident_memory_bytes{worker="'))


def bridged(secure: Tls, session: str) -> http.client.HTTPSConnection:
    """A connection whose session is in another worker than it arrived in."""
    moved = secure.server.total("connections_closed_total", "moved")
    for _ in range(20):
        client = secure.http()
        post(client, "ping", {}, session)
        if secure.server.total("connections_closed_total", "moved") > moved:
            return client
    raise AssertionError("all connections arrived in the worker of the session")


def test_bridged_client_that_does_not_read_is_cut_off(tls: Any) -> None:
    secure = tls("--workers", "2", "--slow-reader-s", "0.5", "--write-buffer-bytes", "10000")
    session = post(secure.http(), "initialize", INITIALIZE)[1]["Mcp-Session-Id"]
    client = bridged(secure, session)
    opened, files, before = secure.server.total("connections"), files_of(secure.server), resident_bytes(secure.server)
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    body = json.dumps({**call, "params": {"name": "echo", "arguments": {"text": "x" * 100_000}}}).encode()
    head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nMcp-Session-Id: {session}\r\n"
    request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
    send_until_refused(client.sock, request)
    secure.server.wait_closed("slow_reader")
    # Three files are given back, two of the bridge and one of the connection.
    secure.server.wait_until(lambda: files_of(secure.server) == files - 3)
    assert secure.server.total("connections") == opened - 1
    assert resident_bytes(secure.server) < before + 16 * 2**20


BIG = """
from c100k_server import App

app = App("big")


@app.tool(inline=True)
def big() -> str:
    return "x" * 16_000_000
"""


def test_bridge_ends_with_a_connection_that_it_cannot_read(
    tls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "big.py").write_text(BIG)
    monkeypatch.chdir(tmp_path)
    secure = tls("big:app", "--workers", "2", "--slow-reader-s", "0.5")
    session = post(secure.http(), "initialize", INITIALIZE)[1]["Mcp-Session-Id"]
    client = bridged(secure, session)
    opened, files = secure.server.total("connections"), files_of(secure.server)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "big"}})
    client.request("POST", "/mcp", body, {"Content-Type": "application/json", "Mcp-Session-Id": session})
    secure.server.wait_closed("slow_reader")
    secure.server.wait_until(lambda: files_of(secure.server) == files - 3)
    assert secure.server.total("connections") == opened - 1


def test_bridge_goes_when_its_client_does(tls: Any) -> None:
    secure = tls("--workers", "2")
    session = post(secure.http(), "initialize", INITIALIZE)[1]["Mcp-Session-Id"]
    client = bridged(secure, session)
    opened, files = secure.server.total("connections"), files_of(secure.server)
    client.close()
    secure.server.wait_until(lambda: files_of(secure.server) == files - 3)
    assert secure.server.total("connections") == opened - 1


def test_certificate_is_read_anew(tls: Any, certify: Any) -> None:
    secure = tls("--workers", "2")
    first = secure.connect()
    before = first.getpeercert(binary_form=True)
    Path(secure.key).write_text("nonsense")
    secure.server.process.send_signal(signal.SIGHUP)
    assert "--tls-key" in secure.server.event("reload_failed")["reason"]
    assert secure.connect().getpeercert(binary_form=True) == before
    certificate, key = certify("renewed")
    os.replace(key, secure.key)
    os.replace(certificate, secure.certificate)
    secure.server.process.send_signal(signal.SIGHUP)
    secure.server.event("reloading")

    def is_renewed() -> bool:
        try:
            return all(secure.connect().getpeercert(binary_form=True) != before for _ in range(8))
        except ssl.SSLCertVerificationError:
            return False

    secure.server.wait_until(is_renewed)
    first.sendall(PING)
    assert first.recv(1000) == PONG


def test_files_that_cannot_be_used_are_one_sentence(run_command: Any, certify: Any, tmp_path: Path) -> None:
    certificate, key = certify("server")
    _, other = certify("other")
    locked = str(tmp_path / "locked")
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    (tmp_path / "text").write_text("hello")
    for files, reason in (
        (("--tls-cert", certificate), "need each other"),
        (("--tls-cert", certificate, "--tls-key", str(tmp_path / "none")), "No such file or directory"),
        (("--tls-cert", certificate, "--tls-key", other), "the key is not that of the certificate"),
        (("--tls-cert", certificate, "--tls-key", locked), "passphrase"),
        (("--tls-cert", str(tmp_path / "text"), "--tls-key", key), "OpenSSL cannot read them"),
    ):
        ended = run_command("serve", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0", *files)
        assert ended.returncode == 2
        (sentence,) = ended.stderr.splitlines()
        assert reason in sentence

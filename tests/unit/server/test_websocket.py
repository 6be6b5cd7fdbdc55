"""WebSocket, by a client that others wrote."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

EXAMPLES = Path(__file__).parents[3] / "server/examples"
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}


class WebSockets:
    """A server with WebSocket, and clients of it."""

    def __init__(self, server: Any, context: ssl.SSLContext | None) -> None:
        self.server = server
        self._context = context
        self._open = contextlib.ExitStack()

    def connect(self, path: str = "/mcp", **options: Any) -> ClientConnection:
        scheme = "ws" if self._context is None else "wss"
        host, port = self.server.ws
        given = {"subprotocols": ["mcp"], "compression": None, "ssl": self._context, "max_size": None, **options}
        return self._open.enter_context(connect(f"{scheme}://{host}:{port}{path}", **given))

    def initialized(self, **options: Any) -> ClientConnection:
        client = self.connect(**options)
        assert ask(client, "initialize", INITIALIZE)["result"]["protocolVersion"] == "2025-11-25"
        client.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        return client

    def close(self) -> None:
        self._open.close()


@pytest.fixture
def websockets(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WebSockets]]:
    started: list[WebSockets] = []

    def start(*options: str, context: ssl.SSLContext | None = None, directory: Path = EXAMPLES) -> WebSockets:
        monkeypatch.chdir(directory)
        started.append(WebSockets(start_server("--workers", "1", "--ws", "127.0.0.1:0", *options), context))
        return started[-1]

    yield start
    for each in started:
        each.close()


def ask(client: ClientConnection, method: str, params: Any = None, request_id: object = 1) -> Any:
    message = {"jsonrpc": "2.0", "id": request_id, "method": method}
    client.send(json.dumps(message if params is None else {**message, "params": params}))
    return json.loads(client.recv(10))


def closing_code(client: ClientConnection) -> int | None:
    """The code that the server closes with, after what else it sends."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(10)
    return client.close_code


def test_session_and_requests_without_one(websockets: Any) -> None:
    sockets = websockets("booking:app")
    client = sockets.initialized()
    assert client.subprotocol == "mcp"
    progress = {"name": "survey", "arguments": {"restaurants": ["a", "bb"]}, "_meta": {"progressToken": "t"}}
    assert ask(client, "tools/call", progress)["params"]["progress"] == 1
    assert [json.loads(client.recv(10)).get("id") for _ in range(2)] == [None, 1]
    stateless = sockets.connect()
    call = {"name": "book", "arguments": {"restaurant": "Chez Ada"}, "_meta": META}
    asked = ask(stateless, "tools/call", call)["result"]
    answers = {"inputResponses": {"input1": {"action": "accept", "content": {"guests": 4}}}}
    booked = ask(stateless, "tools/call", {**call, **answers, "requestState": asked["requestState"]})["result"]
    assert booked["content"][0]["text"] == "A table for 4 at Chez Ada is booked."
    client.close()
    assert client.close_code == 1000
    sockets.server.wait_closed("peer")


@pytest.mark.parametrize("size", [1, 200, 8150, 70_000, 900_000])
def test_messages_of_any_size(websockets: Any, size: int) -> None:
    client = websockets().initialized()
    call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "echo", "arguments": {"text": "x" * size}}}
    for number in range(4):
        client.send(json.dumps({**call, "id": number}))
    for number in range(4):
        answer = json.loads(client.recv(10))
        assert (answer["id"], answer["result"]["content"][0]["text"]) == (number, "x" * size)


def test_message_of_several_frames(websockets: Any) -> None:
    client = websockets().connect()
    client.send(iter(['{"jsonrpc":"2.0",', '"id":1,', '"method":"ping"}']))
    assert json.loads(client.recv(10)) == {"jsonrpc": "2.0", "id": 1, "result": {}}
    client.ping().wait(10)


def test_unreadable_messages_are_answered_and_then_too_many(websockets: Any) -> None:
    sockets = websockets()
    client = sockets.connect()
    for _ in range(16):
        client.send("{nonsense")
        assert json.loads(client.recv(10))["error"]["code"] == -32700
    assert closing_code(client) == 1008
    sockets.server.wait_closed("malformed")


@pytest.mark.parametrize(
    ("message", "code", "cause"),
    [
        (b"binary", 1003, "malformed"),
        ("x" * 1001, 1009, "oversize"),
        (["x" * 600, "x" * 600], 1009, "oversize"),
    ],
)
def test_messages_that_end_a_connection(websockets: Any, message: Any, code: int, cause: str) -> None:
    sockets = websockets("--max-line-bytes", "1000")
    client = sockets.connect()
    client.send(iter(message) if isinstance(message, list) else message)
    assert closing_code(client) == code
    sockets.server.wait_closed(cause)


def test_broken_frame(websockets: Any) -> None:
    sockets = websockets()
    client = sockets.connect()
    client.socket.sendall(b"\x83\x80\0\0\0\0")
    assert closing_code(client) == 1002
    sockets.server.wait_closed("malformed")


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"path": "/other"}, 404),
        ({"subprotocols": None}, 400),
        ({"subprotocols": ["other"]}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"additional_headers": {"Sec-WebSocket-Version": "12"}}, 426),
    ],
)
def test_refused_handshakes(websockets: Any, options: dict[str, Any], status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        websockets().connect(**options)
    assert refused.value.response.status_code == status


def test_plain_http_is_told_to_upgrade(websockets: Any) -> None:
    sockets = websockets()
    with socket.create_connection(sockets.server.ws, timeout=10) as plain:
        plain.sendall(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert plain.recv(1000).startswith(b"HTTP/1.1 426 ")


def test_bearer_token_is_shown_in_the_handshake(websockets: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("first\n")
    sockets = websockets("--token-file", str(tmp_path / "tokens"))
    with pytest.raises(InvalidStatus) as refused:
        sockets.connect()
    assert refused.value.response.status_code == 401
    assert refused.value.response.headers["WWW-Authenticate"] == "Bearer"
    assert ask(sockets.initialized(additional_headers={"Authorization": "Bearer first"}), "ping")["result"] == {}


VERIFIER = """
import asyncio

from c100k_server import App, Context

app = App("known")


@app.verify
async def verify(token: str) -> str | None:
    await asyncio.sleep(0.1)
    return "ada" if token == "good" else None


@app.tool
async def name(ctx: Context) -> str:
    return str(ctx.principal)
"""


def test_verifier_is_asked_before_the_handshake_is_done(websockets: Any, tmp_path: Path) -> None:
    (tmp_path / "known.py").write_text(VERIFIER)
    sockets = websockets("known:app", directory=tmp_path)
    with pytest.raises(InvalidStatus) as refused:
        sockets.connect(additional_headers={"Authorization": "Bearer bad"})
    assert refused.value.response.status_code == 401
    client = sockets.initialized(additional_headers={"Authorization": "Bearer good"})
    assert ask(client, "tools/call", {"name": "name"})["result"]["content"][0]["text"] == "ada"


def test_handshake_that_does_not_come(websockets: Any) -> None:
    sockets = websockets("--http-handshake-s", "0.5", "--http-request-s", "0.5")
    silent, slow = (socket.create_connection(sockets.server.ws, timeout=10) for _ in range(2))
    with silent, slow:
        slow.sendall(b"GET /mcp HTTP/1.1\r\n")
        sockets.server.wait_closed("slow_request", 2)


def test_drain_finishes_what_is_in_flight(websockets: Any) -> None:
    sockets = websockets("--drain-s", "8")
    idle, half = sockets.initialized(), sockets.connect()
    half.socket.sendall(frame(0x01, b'{"jsonrpc":"2.0",'))
    assert ask(idle, "ping")["result"] == {}
    sockets.server.process.send_signal(signal.SIGTERM)
    assert closing_code(idle) == 1001
    half.socket.sendall(frame(0x80, b'"id":7,"method":"ping"}'))
    assert json.loads(half.recv(10))["id"] == 7
    assert closing_code(half) == 1001
    assert sockets.server.event("stopped")["killed"] == 0


def frame(head: int, payload: bytes) -> bytes:
    """A frame as clients send it, masked with zeros, its length in the form that does for all."""
    return struct.pack("!BBQI", head, 0x80 | 127, len(payload), 0) + payload


HANDSHAKE = (
    b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Protocol: mcp\r\n\r\n"
)


def shake_hands(address: tuple[str, int], receive_buffer_bytes: int = 65536) -> socket.socket:
    """A connection that answers nothing by itself."""
    client = socket.socket()
    client.settimeout(10)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
    client.connect(address)
    client.sendall(HANDSHAKE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    # The example of RFC 6455.
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    return client


def test_client_that_does_not_read_is_cut_off(websockets: Any) -> None:
    sockets = websockets("--write-buffer-bytes", "10000", "--slow-reader-s", "0.5")
    with shake_hands(sockets.server.ws, receive_buffer_bytes=2304) as slow:
        slow.settimeout(0.3)
        with pytest.raises((TimeoutError, ConnectionError)):
            slow.sendall(frame(0x81, b'{"jsonrpc":"2.0","id":1,"method":"ping"}') * 500_000)
        sockets.server.wait_closed("slow_reader")
    assert sockets.server.total("connections") == 0


def test_client_that_reads_late_gets_all_of_it(websockets: Any) -> None:
    sockets = websockets("--write-buffer-bytes", "10000")
    texts = [letter * 500_000 for letter in "abcdefghijklmnop"]
    echoes = [request(n, "tools/call", {"name": "echo", "arguments": {"text": text}}) for n, text in enumerate(texts)]
    with shake_hands(sockets.server.ws, receive_buffer_bytes=2304) as late, ThreadPoolExecutor() as threads:
        late.settimeout(60)
        sent = threads.submit(late.sendall, request(0, "initialize", INITIALIZE) + b"".join(echoes))
        sockets.server.wait_until(lambda: sockets.server.total("connections_paused") == 1)
        late.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        assert "protocolVersion" in json.loads(read_frame(late))["result"]
        for number, text in enumerate(texts):
            answer = json.loads(read_frame(late))
            assert (answer["id"], answer["result"]["content"][0]["text"]) == (number, text)
        sent.result()


def request(request_id: int, method: str, params: Any) -> bytes:
    """A request in a frame."""
    message = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
    return frame(0x81, json.dumps(message).encode())


def read_frame(client: socket.socket) -> bytes:
    """The payload of the next frame."""

    def read(count: int) -> bytes:
        received = b""
        while len(received) < count:
            data = client.recv(count - len(received))
            assert data
            received += data
        return received

    size = read(2)[1]
    if size > 125:
        size = int.from_bytes(read(2 if size == 126 else 8))
    return read(size)


def test_silent_client_is_asked_and_cut_off(websockets: Any) -> None:
    sockets = websockets("--ws-ping-s", "1")
    alive = sockets.initialized()
    with shake_hands(sockets.server.ws) as dead:
        assert dead.recv(100) == b"\x89\0"
        sockets.server.wait_closed("reset")
    assert ask(alive, "ping")["result"] == {}


def test_compression_is_not_agreed_on(websockets: Any) -> None:
    client = websockets().connect(compression="deflate")
    assert client.protocol.extensions == []
    assert ask(client, "ping")["result"] == {}


def test_frames_that_do_not_wait_for_the_handshake(websockets: Any) -> None:
    sockets = websockets()
    with socket.create_connection(sockets.server.ws, timeout=10) as eager:
        eager.sendall(HANDSHAKE + frame(0x81, b"{}"))
        sockets.server.wait_closed("malformed")


def test_connections_are_limited_and_counted_as_others(websockets: Any) -> None:
    sockets = websockets("--per-peer", "1")
    client = sockets.initialized()
    with pytest.raises((WebSocketException, OSError)):
        sockets.connect()
    sockets.server.wait_closed("peer_limit")
    assert sockets.server.total("connections") == 1
    for name in ("bytes_received_total", "bytes_sent_total"):
        sample = f'{name}{{worker="0",transport="ws"}}'
        sockets.server.wait_until(lambda sample=sample: sockets.server.metrics()[sample] > 0)
    assert sockets.server.metrics()['requests_total{worker="0",method="initialize",outcome="ok"}'] == 1
    client.close()
    sockets.server.wait_closed("peer")


def test_over_tls(websockets: Any, certify: Any) -> None:
    certificate, key = certify("server")
    context = ssl.create_default_context(cafile=certificate)
    sockets = websockets("--tls-cert", certificate, "--tls-key", key, context=context)
    client = sockets.initialized()
    call = {"name": "echo", "arguments": {"text": "x" * 300_000}}
    assert ask(client, "tools/call", call)["result"]["content"][0]["text"] == "x" * 300_000
    client.close()
    assert client.close_code == 1000
    sockets.server.wait_closed("peer")
    sockets.connect().send(b"binary")
    sockets.server.wait_closed("malformed")

"""Whatever bytes come in: each input is answered as the protocol says, or its connection is closed with a cause."""

from __future__ import annotations

import asyncio
import base64
import json
import mmap
import socket
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c100k_server import App
from c100k_server.jsonrpc import RequestError
from c100k_server.param_headers import decode_header
from c100k_server.request_state import binding, seal, unseal
from c100k_server.service import Service
from c100k_server.subscriptions import Event, Subscriptions
from c100k_server.uri_template import UriTemplate

NAMES = st.text(string.ascii_letters, min_size=1, max_size=8)
VALUES = st.text(min_size=1).filter(lambda text: not set(text) & set("/?#"))
REQUEST = (
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 41\r\n"
    b'Accept: */*\r\n\r\n{"jsonrpc":"2.0","id":1,"method":"ping" }'
)


@pytest.fixture
def http(server: Any) -> Any:
    """The address of the server that tests share."""
    return server.http


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    noise=st.binary(max_size=200),
    position=st.integers(0, len(REQUEST)),
    cut=st.integers(0, 30),
)
def test_damaged_http_is_answered_or_closed(http: Any, noise: bytes, position: int, cut: int) -> None:
    damaged = REQUEST[:position] + noise + REQUEST[position + cut :]
    with socket.create_connection(http, timeout=10) as connection:
        connection.sendall(damaged)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except ConnectionResetError:
            pass
    assert not received or received.startswith(b"HTTP/1.1 ")
    with socket.create_connection(http, timeout=10) as connection:
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_trailers_are_no_headers(http: Any) -> None:
    head = (
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    body = b'28\r\n{"jsonrpc":"2.0","id":1,"method":"ping"}\r\n0\r\nMcp-Session-Id: 0-nobody\r\n\r\n'
    with socket.create_connection(http, timeout=10) as connection:
        connection.sendall(head + body)
        received = connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b"Mcp-Session-Id is missing" in received


def test_a_batch_has_a_limit(server: Any) -> None:
    client = server.connect(initialized=False)
    client.initialize("2025-03-26")
    client.send(b"[" + b",".join([b'{"jsonrpc":"2.0","id":1,"method":"ping"}'] * 101) + b"]\n")
    assert client.receive()["error"] == {"code": -32600, "message": "a batch may hold 100 messages"}


@given(names=st.lists(NAMES, min_size=1, max_size=4, unique=True), data=st.data())
def test_templates_read_back_what_they_expand_to(names: list[str], data: st.DataObject) -> None:
    values = {name: data.draw(VALUES.filter(lambda text: "%" not in text)) for name in names}
    template = UriTemplate("x://" + "/".join(f"{{{name}}}" for name in names))
    uri = "x://" + "/".join(values[name] for name in names)
    if "\n" not in uri:
        assert template.match(uri) == values
    assert template.match(uri + "/more") is None


@pytest.mark.parametrize("text", ["x://{a}/{a}", "x://{", "x://{a-b}", "x://}"])
def test_wrong_templates(text: str) -> None:
    with pytest.raises(ValueError, match="not a URI template"):
        UriTemplate(text)


ANSWERS = st.dictionaries(st.text(), st.dictionaries(st.text(), st.text() | st.integers(), max_size=3), max_size=3)


@given(answers=ANSWERS, position=st.integers(0, 10_000), other=st.characters(codec="ascii"))
def test_state_comes_back_whole_or_not_at_all(answers: dict[str, Any], position: int, other: str) -> None:
    key, bound = bytes(32), binding("tools/call", "book", {"a": 1, "b": 2})
    assert bound == binding("tools/call", "book", {"b": 2, "a": 1})
    state = seal(key, bound, answers)
    assert unseal(key, bound, state) == answers
    position %= len(state)
    tampered = state[:position] + other + state[position + 1 :]
    if base64_of(tampered) != base64_of(state):
        with pytest.raises(RequestError):
            unseal(key, bound, tampered)
    for wrong_key, wrong_binding in ((b"x" * 32, bound), (key, binding("tools/call", "other", None))):
        with pytest.raises(RequestError):
            unseal(wrong_key, wrong_binding, state)


def base64_of(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode(), altchars=b"-_", validate=True)
    except ValueError:
        return None


@given(text=st.text())
def test_wrapped_headers(text: str) -> None:
    assert decode_header(f"=?base64?{base64.b64encode(text.encode()).decode()}?=") == text


class Listener:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def tell(self, event: Event) -> bool:
        self.heard.append(json.loads(event.line))
        return True


def test_events_that_wait_are_told_once() -> None:
    async def publish() -> list[Any]:
        figures = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        subscriptions, listener = Subscriptions(figures, asyncio.get_running_loop()), Listener()
        subscriptions.add("uri:x://a", listener)
        for _ in range(1000):
            subscriptions.updated("x://a")
            subscriptions.updated("x://nobody")
        await asyncio.sleep(0.05)
        subscriptions.discard("uri:x://a", listener)
        subscriptions.updated("x://a")
        await asyncio.sleep(0.05)
        return listener.heard

    heard = asyncio.run(publish())
    expected = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "x://a"}}
    assert heard == [expected]


def test_lists_come_in_pages() -> None:
    app = App("many", page_size=10)
    for number in range(25):
        app.tool(name=f"t{number}")(_nothing)

    async def pages() -> dict[str | None, bytes]:
        figures = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        return Service(app, figures, bytes(32), asyncio.get_running_loop()).pages["tools/list"]

    found = asyncio.run(pages())
    names, cursor = [], None
    while True:
        page = json.loads(found[cursor])
        names += [tool["name"] for tool in page["tools"]]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert names == [f"t{number}" for number in range(25)]


def _nothing() -> None:
    """Does nothing."""

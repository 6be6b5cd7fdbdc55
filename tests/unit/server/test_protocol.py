"""What a client sees of the protocol, over a real connection."""

from __future__ import annotations

import asyncio
import json
import mmap
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c100k_server.service import Service
from c100k_server.session import UNREADABLE_MAX, Session, UnreadableMessagesError
from c100k_server.tools import ECHO
from c100k_server.versions import SESSION_VERSIONS

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}\n'


@pytest.mark.parametrize("version", SESSION_VERSIONS)
def test_supported_version_is_agreed_to(server: Any, version: str) -> None:
    result = server.connect(initialized=False).initialize(version)["result"]
    assert result["protocolVersion"] == version
    assert result["capabilities"] == {"tools": {}, "resources": {"subscribe": True}, "logging": {}}
    assert result["serverInfo"]["name"] == "c100k-server"


@pytest.mark.parametrize("version", ["1999-01-01", "", "2026-07-28"])
def test_latest_version_is_offered_instead_of_an_unknown_one(server: Any, version: str) -> None:
    assert server.connect(initialized=False).initialize(version)["result"]["protocolVersion"] == "2025-11-25"


def test_ping_needs_no_session_and_requests_do(server: Any) -> None:
    client = server.connect(initialized=False)
    assert client.request("ping") == {"jsonrpc": "2.0", "id": 1, "result": {}}
    refusal = client.request("tools/list", request_id=2)
    assert refusal["id"] == 2
    assert refusal["error"]["code"] == -32600
    assert "initialize" in refusal["error"]["message"]


def test_tools_are_listed_and_called(server: Any) -> None:
    client = server.connect()
    tool, *others = client.request("tools/list")["result"]["tools"]
    assert [other["name"] for other in others] == ["announce", "increment", "read"]
    assert tool["name"] == "echo"
    assert tool["inputSchema"]["required"] == ["text"]
    text = 'quotes " and \\, newline \n, é, 🙂, \x00'
    assert client.echo(text)["result"] == {"content": [{"type": "text", "text": text}]}


def test_an_announcement_is_heard_once_by_all_who_subscribed(server: Any) -> None:
    uri = "c100k://harness/announcement"
    listener, announcer = server.connect(), server.connect()
    assert listener.request("resources/subscribe", {"uri": uri})["result"] == {}
    called = announcer.request("tools/call", {"name": "announce", "arguments": {}})["result"]
    assert called == {"content": [{"type": "text", "text": "announced"}]}
    assert listener.receive()["params"] == {"uri": uri}
    assert listener.request("ping", request_id=7)["id"] == 7, "and there was no other notification before this"
    assert listener.request("resources/read", {"uri": uri})["result"]["contents"][0]["text"] == "announced"


@pytest.mark.parametrize("request_id", [0, -7, 2**53, 2**80, "", 'a\n"b', "é"])
def test_an_answer_has_the_id_of_its_request(server: Any, request_id: object) -> None:
    assert server.connect().echo("x", request_id)["id"] == request_id


@pytest.mark.parametrize(
    ("message", "code", "request_id"),
    [
        (b"{nonsense\n", -32700, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"} trailing\n', -32700, None),
        (b"[" * 100_000 + b"\n", -32700, None),
        (CALL % b'{"name":"echo","arguments":{"text":"\xff"}}', -32700, 1),
        (b"[]\n", -32600, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]\n', -32600, None),
        (b'"text"\n', -32600, None),
        (b'{"id":5,"method":"ping"}\n', -32600, 5),
        (b'{"jsonrpc":"1.0","id":5,"method":"ping"}\n', -32600, 5),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}\n', -32600, None),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}\n', -32600, None),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}\n', -32600, None),
        (b'{"jsonrpc":"2.0","id":"x","method":7}\n', -32600, "x"),
        (b'{"jsonrpc":"2.0","id":1}\n', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}\n', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}\n', -32601, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}\n', -32602, 1),
        (CALL % b'[]', -32602, 1),
        (CALL % b'{"name":"no-such"}', -32602, 1),
        (CALL % b'{"name":"echo"}', -32602, 1),
        (CALL % b'{"name":"echo","arguments":{"text":1}}', -32602, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}\n', -32602, 1),
    ],
)  # fmt: skip
def test_what_is_wrong_is_answered_with_its_code(server: Any, message: bytes, code: int, request_id: object) -> None:
    client = server.connect()
    client.send(message)
    answer = client.receive()
    assert (answer["error"]["code"], answer["id"]) == (code, request_id)
    assert answer["error"]["message"]
    assert client.request("ping", request_id="next")["id"] == "next"


def test_initialize_without_a_version_leaves_the_session_as_it_was(server: Any) -> None:
    client = server.connect(initialized=False)
    assert client.request("initialize", {})["error"]["code"] == -32602
    assert "result" in client.initialize()


@pytest.mark.parametrize(
    "message",
    [
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}},
        {"jsonrpc": "2.0", "method": "no/such"},
        {"jsonrpc": "2.0", "method": "tools/call", "params": "nonsense"},
        {"jsonrpc": "2.0", "id": 9, "result": {}},
        {"jsonrpc": "2.0", "id": 9, "error": {"code": 1, "message": "no"}},
        b"\n \r\n",
    ],
)
def test_notifications_answers_and_blank_lines_are_never_answered(server: Any, message: object) -> None:
    client = server.connect()
    client.send(message)
    assert client.request("ping", request_id="next")["id"] == "next"


def test_many_messages_in_one_segment(server: Any) -> None:
    client = server.connect()
    client.send(*({"jsonrpc": "2.0", "id": n, "method": "ping"} for n in range(500)))
    assert [client.receive()["id"] for _ in range(500)] == list(range(500))


def test_one_message_in_many_segments(server: Any) -> None:
    client = server.connect()
    arguments = {"name": "echo", "arguments": {"text": "x" * 20}}
    for byte in json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": arguments}).encode() + b"\r\n":
        client.send(bytes([byte]))
    assert client.receive()["result"]["content"][0]["text"] == "x" * 20


def test_batch_in_the_one_revision_that_has_them(server: Any) -> None:
    client = server.connect(initialized=False)
    client.initialize("2025-03-26")
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    client.send([ping, {"jsonrpc": "2.0", "method": "notifications/cancelled"}, 7, [ping]])
    answers = client.receive()
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32600, -32600]
    client.send([{"jsonrpc": "2.0", "method": "notifications/cancelled"}])
    assert client.request("ping", request_id="next")["id"] == "next"


@pytest.mark.parametrize("lines_at_once", [1, UNREADABLE_MAX + 5])
def test_a_peer_that_speaks_no_json_is_given_up(start_server: Any, lines_at_once: int) -> None:
    server = start_server("--workers", "1")
    client = server.connect(initialized=False)
    for _ in range(0, UNREADABLE_MAX, lines_at_once):
        client.send(b"GET / HTTP/1.1\r\n" * lines_at_once)
        for _ in range(min(lines_at_once, UNREADABLE_MAX)):
            assert client.receive()["error"]["code"] == -32700
    assert client.receive() is None
    client.socket.close()
    server.wait_closed("malformed")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
METHODS = st.sampled_from(["initialize", "ping", "tools/list", "tools/call", "notifications/initialized"])
CALLS = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | JSON, "method": METHODS | JSON},
    optional={
        "id": JSON,
        "params": JSON | st.fixed_dictionaries({"name": st.just("echo")}, optional={"arguments": JSON, "cursor": JSON}),
    },
)


class Outlet:
    """Takes the answers that come later."""

    def __init__(self) -> None:
        self.late: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def send(self, line: bytes) -> bool:
        return True

    def answer(self, line: bytes, error_code: int) -> None:
        self.late.set_result(line)

    def close_stream(self) -> None:
        pass


async def answered(message: bytes, version: str | None) -> bytes | None:
    figures = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
    service = Service(ECHO, figures, bytes(32), asyncio.get_running_loop())
    session, outlet = Session(service), Outlet()
    session.version = version
    try:
        answer = session.handle(message, outlet)
    except UnreadableMessagesError as error:
        answer = error.answer
    return await outlet.late if session.busy else answer


@given(
    message=st.binary() | (JSON | CALLS | st.lists(CALLS, max_size=3)).map(lambda value: json.dumps(value).encode()),
    version=st.sampled_from([None, *SESSION_VERSIONS]),
)
def test_whatever_comes_is_answered_in_json_or_not_at_all(message: bytes, version: str | None) -> None:
    answer = asyncio.run(answered(message, version))
    if answer is not None:
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1
        decoded = json.loads(answer)
        for each in decoded if isinstance(decoded, list) else [decoded]:
            assert each["jsonrpc"] == "2.0"
            assert ("result" in each) != ("error" in each)

"""Streamable HTTP as a client sees it, with the examples as apps."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def test_weather(serve: Any) -> None:
    _, connect = serve("weather", "--workers", "1")
    client = connect()
    assert client.initialize()["capabilities"] == {
        "tools": {}, "prompts": {}, "resources": {"subscribe": True}, "completions": {}, "logging": {},
    }  # fmt: skip
    tool = client.call("tools/list", {})[1]["result"]["tools"][0]
    assert tool["inputSchema"]["required"] == ["city"]
    assert tool["inputSchema"]["properties"]["unit"] == {"enum": ["celsius", "fahrenheit"], "default": "celsius"}
    assert tool["outputSchema"]["properties"]["temperature"] == {"type": "number"}
    assert tool["annotations"] == {"readOnlyHint": True}
    result = client.call("tools/call", {"name": "forecast", "arguments": {"city": "quito"}})[1]["result"]
    assert result["structuredContent"] == {"city": "quito", "temperature": 15.0, "unit": "celsius"}
    assert json.loads(result["content"][0]["text"]) == result["structuredContent"]
    unknown = client.call("tools/call", {"name": "forecast", "arguments": {"city": "atlantis"}})[1]["result"]
    assert unknown["isError"]
    assert "try london" in unknown["content"][0]["text"]
    for arguments, place in (({"city": 7}, "$.city"), ({"city": "quito", "unit": "kelvin"}, "$.unit"), ({}, "city")):
        error = client.call("tools/call", {"name": "forecast", "arguments": arguments})[1]["error"]
        assert error["code"] == -32602
        assert place in error["message"]
    read = client.call("resources/read", {"uri": "weather://nairobi"})[1]["result"]["contents"][0]
    assert json.loads(read["text"])["temperature"] == 24.5
    reference = {"ref": {"type": "ref/prompt", "name": "packing"}, "argument": {"name": "city", "value": "n"}}
    assert client.call("completion/complete", reference)[1]["result"]["completion"]["values"] == ["nairobi"]
    gone = client.call("resources/read", {"uri": "other://x"})[1]["error"]
    assert (gone["code"], gone["data"]) == (-32002, {"uri": "other://x"})


def test_weather_without_sessions(serve: Any) -> None:
    _, connect = serve("weather", "--workers", "2")
    client = connect()
    status, answer = client.stateless("tools/call", {"name": "forecast", "arguments": {"city": "quito"}}, "forecast")
    assert status == 200
    assert answer["result"]["resultType"] == "complete"
    assert answer["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "weather"
    read = client.stateless("resources/read", {"uri": "weather://quito"}, "weather://quito")[1]["result"]
    assert (read["ttlMs"], read["cacheScope"]) == (60_000, "public")
    assert client.stateless("tools/list", {}, MCP_Protocol_Version=None)[1]["error"]["code"] == -32020
    assert client.stateless("tools/call", {"name": "forecast"}, "other")[1]["error"]["code"] == -32020
    assert client.stateless("ping", {})[0] == 404
    assert client.ask("GET", MCP_Protocol_Version="2026-07-28")[0] == 405


def test_booking_asks_in_either_era(serve: Any) -> None:
    _, connect = serve("booking", "--workers", "2")
    params = {"name": "book", "arguments": {"restaurant": "Chez Ada"}}
    meta = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    asked = connect().stateless("tools/call", params, "book", meta=meta)[1]["result"]
    assert asked["resultType"] == "input_required"
    assert asked["inputRequests"]["input1"]["params"]["requestedSchema"]["required"] == ["guests"]
    answers = {"inputResponses": {"input1": {"action": "accept", "content": {"guests": 4}}}}
    retry = {**params, **answers, "requestState": asked["requestState"]}
    # Any worker can take the retry: connections go to either.
    for _ in range(4):
        booked = connect().stateless("tools/call", retry, "book", meta=meta)[1]["result"]
        assert booked["content"][0]["text"] == "A table for 4 at Chez Ada is booked."
    other = {**retry, "arguments": {"restaurant": "Elsewhere"}}
    assert connect().stateless("tools/call", other, "book", meta=meta)[1]["error"]["code"] == -32602
    refused = connect().stateless("tools/call", params, "book")
    assert refused[0] == 400
    assert refused[1]["error"]["data"] == {"requiredCapabilities": {"elicitation": {}}}
    client = connect()
    client.initialize()
    assert client.call("tools/call", params)[1]["result"]["isError"]


def test_thread_reports_progress_in_order(serve: Any) -> None:
    _, connect = serve("booking", "--workers", "1")
    client = connect()
    client.initialize()
    arguments = {"restaurants": ["a", "bb", "ccc"]}
    params = {"name": "survey", "arguments": arguments, "_meta": {"progressToken": "t"}}
    status, events = client.call("tools/call", params)
    assert status == 200
    assert [event["params"]["progress"] for event in events[:-1]] == [1, 2, 3]
    assert events[-1]["result"]["structuredContent"] == {"a": 2, "bb": 3, "ccc": 4}


def test_a_batch_is_answered_whole(serve: Any) -> None:
    _, connect = serve("booking", "--workers", "1")
    client = connect()
    params = {"protocolVersion": "2025-03-26", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    assert client.call("initialize", params)[0] == 200
    call = {"name": "survey", "arguments": {"restaurants": ["a", "bb"]}}
    slow = {"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": call}
    batch = [slow, {"jsonrpc": "2.0", "id": "quick", "method": "ping"}, {"jsonrpc": "2.0", "method": "made/up"}]
    status, answers = client.ask("POST", batch)
    assert status == 200
    assert {answer["id"] for answer in answers} == {"slow", "quick"}
    assert all("result" in answer for answer in answers)
    slow["params"] = {**call, "_meta": {"progressToken": "t"}}
    events = client.ask("POST", batch)[1]
    assert [event["params"]["progress"] for event in events[:-1]] == [1, 2]
    assert {answer["id"] for answer in events[-1]} == {"slow", "quick"}
    assert client.ask("POST", [{"jsonrpc": "2.0", "method": "made/up"}]) == (202, None)


def test_workers_hold_no_file_for_each_other(serve: Any) -> None:
    few, _ = serve("weather", "--workers", "1")
    many, _ = serve("weather", "--workers", "6")
    files = [len(os.listdir(f"/proc/{server.pids[0]}/fd")) for server in (few, many)]
    assert files[0] == files[1]


def test_workers_believe_only_their_own_user(serve: Any) -> None:
    server, connect = serve("notes", "--workers", "2")
    client = connect()
    client.initialize()
    # Names of sockets that are not files, as any user of the host can see them.
    names = re.findall(r"@(c100k-server-[0-9a-f]+-[01])$", Path("/proc/net/unix").read_text(), re.MULTILINE)
    assert len(names) >= 2
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    forge = "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
    forge += "for name in sys.argv[1:]: s.sendto(b'Etools', b'\\0' + name.encode())\n"
    sent = server.total("messages_sent_total")
    subprocess.run([sys.executable, "-c", forge, *names], check=True)
    assert client.call("ping", {})[1]["result"] == {}
    assert server.total("messages_sent_total") == sent + 1


def test_notes_are_watched(serve: Any) -> None:
    _, connect = serve("notes", "--workers", "1")
    client = connect()
    client.initialize()
    assert client.call("resources/subscribe", {"uri": "notes://todo"})[1]["result"] == {}
    watcher = connect()
    headers = {"Accept": "text/event-stream", **client.session}
    watcher.connection.request("GET", "/mcp", headers=headers)
    response = watcher.connection.getresponse()
    assert client.ask("GET")[0] == 409
    client.call("tools/call", {"name": "write", "arguments": {"title": "todo", "text": "rest"}})
    lines = [response.readline().decode() for _ in range(6)]
    assert '"notifications/resources/updated"' in "".join(lines)
    response.close()
    watcher.connection.close()
    assert client.ask("DELETE") == (204, None)
    assert client.call("ping", {})[0] == 404


@pytest.mark.parametrize(
    ("method", "body", "headers", "status"),
    [
        ("POST", b"{}", {"path": "/other"}, 404),
        ("POST", b"{}", {"Host": "evil.example"}, 403),
        ("POST", b"{}", {"Origin": "http://evil.example"}, 403),
        ("POST", b"{}", {"Accept": "text/html"}, 406),
        ("POST", b"{}", {"Content_Type": "text/plain"}, 415),
        ("POST", b"{nonsense", {}, 400),
        ("POST", b"[]", {}, 400),
        ("POST", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {}, 400),
        ("POST", {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"Mcp_Session_Id": "0-none"}, 404),
        ("POST", {"jsonrpc": "2.0", "id": 1, "method": "ping"}, {"MCP_Protocol_Version": "1999-01-01"}, 400),
        ("GET", None, {}, 400),
        ("GET", None, {"Accept": "application/json"}, 406),
        ("GET", None, {"Mcp_Session_Id": "1-none"}, 404),
        ("DELETE", None, {}, 400),
        ("PUT", b"{}", {}, 405),
        ("POST", b"x" * 2000, {}, 413),
        ("POST", b"{}", {"X": "x" * 20_000}, 431),
        ("POST", b"{}", {"path": "/" + "x" * 5000}, 414),
    ],
)  # fmt: skip
def test_refusals(serve: Any, method: str, body: Any, headers: dict[str, str], status: int) -> None:
    _, connect = serve("weather", "--workers", "1", "--max-line-bytes", "1500")
    assert connect().ask(method, body, **headers)[0] == status


def test_bearer_tokens(serve: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\nsecond\n")
    _, connect = serve("weather", "--workers", "1", "--token-file", str(tokens))
    assert connect().stateless("server/discover", {})[0] == 401
    assert connect().stateless("server/discover", {}, Authorization="Bearer third")[0] == 401
    assert connect().stateless("server/discover", {}, Authorization="Bearer second")[0] == 200


def test_slow_request_is_timed_out(serve: Any) -> None:
    server, _ = serve("weather", "--workers", "1", "--http-request-s", "0.5", "--http-handshake-s", "0.5")
    silent, slow = socket.create_connection(server.http), socket.create_connection(server.http)
    with silent, slow:
        slow.sendall(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        slow.settimeout(10)
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        server.wait_closed("slow_request", 2)


def test_connections_of_one_address(serve: Any) -> None:
    server, connect = serve("weather", "--workers", "1", "--per-peer", "2")
    clients = [connect(), connect()]
    assert [client.stateless("server/discover", {})[0] for client in clients] == [200, 200]
    with socket.create_connection(server.http, timeout=10) as third:
        assert third.recv(10) == b""
    server.wait_closed("peer_limit")


def test_requests_ahead_are_answered_in_order(serve: Any) -> None:
    server, connect = serve("booking", "--workers", "1")
    client = connect()
    request = b'{"jsonrpc":"2.0","id":%d,"method":"tools/list","params":{"_meta":%b}}'
    stream = b""
    for number in range(20):
        body = request % (number, json.dumps(client.META).encode())
        stream += b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        stream += b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/list\r\n"
        stream += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    with socket.create_connection(server.http, timeout=10) as connection:
        connection.sendall(stream)
        received = b""
        while received.count(b'"jsonrpc"') < 20:
            received += connection.recv(65536)
    positions = [received.index(b'"id":%d,' % number) for number in range(20)]
    assert positions == sorted(positions)


@pytest.mark.parametrize(
    "offer",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ],
)
def test_offered_upgrades_are_ignored(serve: Any, offer: str) -> None:
    server, _ = serve("weather")
    body = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}'
    head = f"Host: localhost\r\nContent-Type: application/json\r\n{offer}Content-Length: {len(body)}\r\n\r\n"
    asked = b"POST /mcp HTTP/1.1\r\n" + head.encode() + body
    removed = b"DELETE /mcp HTTP/1.1\r\nHost: localhost\r\n" + offer.encode() + b"\r\n"
    plain = b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(server.http, timeout=10) as connection, connection.makefile("rb") as answers:
        # Two in one segment, one in pieces, and one that offers nothing.
        connection.sendall(asked + asked)
        connection.sendall(asked[:-5])
        connection.sendall(asked[-5:] + removed + plain)
        statuses = []
        for _ in range(5):
            statuses.append(int(answers.readline().split()[1]))
            headers = http.client.parse_headers(answers)
            answers.read(int(headers["Content-Length"]))
        connection.shutdown(socket.SHUT_WR)
        # Nothing else was sent.
        assert answers.read() == b""
    assert statuses == [200, 200, 200, 400, 404]
    assert server.total("connections_closed_total", "malformed") == 0


def test_drain_ends_streams(serve: Any) -> None:
    server, connect = serve("notes", "--workers", "1")
    client = connect()
    client.initialize()
    standing = client.open("GET")
    listen = {"notifications": {"resourceSubscriptions": ["notes://x"]}, "_meta": client.META}
    body = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": listen}
    stream = connect().open("POST", body, MCP_Protocol_Version="2026-07-28", Mcp_Method="subscriptions/listen")
    server.process.send_signal(signal.SIGTERM)
    events = [json.loads(line[6:]) for line in stream.read().decode().split("\n") if line.startswith("data: ")]
    assert events[0]["method"] == "notifications/subscriptions/acknowledged"
    assert events[-1]["result"] == {
        "resultType": "complete", "_meta": {"io.modelcontextprotocol/subscriptionId": 7},
    }  # fmt: skip
    standing.read()
    assert server.event("stopped")["killed"] == 0


def test_client_that_does_not_read_its_events_is_cut_off(serve: Any) -> None:
    server, connect = serve("booking", "--workers", "1", "--write-buffer-bytes", "2000", "--slow-reader-s", "1")
    client = connect()
    client.initialize()
    arguments = {"restaurants": ["x" * 400] * 200}
    params = {"name": "survey", "arguments": arguments, "_meta": {"progressToken": "t" * 60_000}}
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        slow.connect(server.http)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
        head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAccept: {client.BOTH}\r\n"
        head += f"Mcp-Session-Id: {client.session['Mcp-Session-Id']}\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode() + body)
        server.wait_closed("slow_reader")
    assert client.call("ping", {})[0] == 200

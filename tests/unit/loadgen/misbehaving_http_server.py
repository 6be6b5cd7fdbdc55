"""An MCP server over Streamable HTTP that behaves, or misbehaves on purpose.

`python misbehaving_http_server.py BEHAVIOUR` speaks both eras, prints its port, and when it is told to stop (SIGTERM)
what it counted, as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from typing import Any

COUNTS: Counter[str] = Counter()
LISTENERS: list[Connection] = []
CALLS_OF_A_SESSION = 3


class Connection(asyncio.Protocol):
    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour
        self._rest = b""
        self._transport: asyncio.Transport
        self._calls = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        COUNTS["connections"] += 1
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        COUNTS["lost" if error else "ended"] += 1
        if self in LISTENERS:
            LISTENERS.remove(self)

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while (end := self._rest.find(b"\r\n\r\n")) >= 0:
            request_line, *lines = self._rest[:end].decode().split("\r\n")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            length = int(headers.get("content-length", 0))
            if len(self._rest) < end + 4 + length:
                return
            body, self._rest = self._rest[end + 4 : end + 4 + length], self._rest[end + 4 + length :]
            self._asked(request_line.split()[0], headers, json.loads(body) if body else {})

    def _asked(self, http_method: str, headers: dict[str, str], message: dict[str, Any]) -> None:
        method = message.get("method", http_method)
        COUNTS[method] += 1
        if method != "initialize" and headers["mcp-protocol-version"] not in ("2025-11-25", "2026-07-28"):
            COUNTS["wrong_version"] += 1
        if "mcp-method" in headers and headers["mcp-method"] != method:
            COUNTS["wrong_method"] += 1
        if headers.get("mcp-name") not in (None, message.get("params", {}).get("name")):
            COUNTS["wrong_name"] += 1
        information = {"capabilities": {"tools": {}}, "serverInfo": {"name": "t", "version": "1"}}
        match method:
            case "initialize":
                version = message["params"]["protocolVersion"]
                result = {"protocolVersion": version, **information}
                self._answer(message["id"], result, headers="Mcp-Session-Id: s-1\r\n")
            case "notifications/initialized":
                self._respond(202, b"")
            case "resources/subscribe":
                self._answer(message["id"], {})
            case "server/discover" if self._behaviour == "elder":
                self._respond(400, b'{"jsonrpc":"2.0","id":0,"error":{"code":-32600,"message":"no session"}}')
            case "server/discover":
                self._answer(message["id"], {"supportedVersions": ["2026-07-28"], **information})
            case "ping":
                self._respond(503, b"busy")
            case "DELETE" if self._behaviour == "keeps_sessions":
                self._respond(405, b"")
            case "DELETE" if self._behaviour == "ignores_ends":
                pass
            case "DELETE":
                self._respond(200, b"")
            case "GET":
                self._stream()
            case "subscriptions/listen":
                self._stream()
                if self._behaviour != "deaf":
                    self._event({"method": "notifications/subscriptions/acknowledged", "params": {}})
            case "tools/call":
                self._call(message)

    def _call(self, message: dict[str, Any]) -> None:
        self._calls += 1
        name, number = message["params"]["name"], message["id"]
        if name == "announce":
            self._announce()
        text = message["params"]["arguments"].get("text", "announced")
        result = {"content": [{"type": "text", "text": text}]}
        if self._behaviour == "refuses":
            self._respond(503, b"busy")
        elif self._behaviour == "forgets" and self._calls > CALLS_OF_A_SESSION:
            self._respond(404, b"")
        elif self._behaviour == "garbage":
            self._transport.write(b"\x00\xff not HTTP\r\n\r\n")
        elif self._behaviour == "endless":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}")
        elif self._behaviour == "twice":
            self._answer(number, result)
            self._answer(number, result)
        elif self._behaviour == "wrong_payload":
            self._answer(number, {"content": [{"type": "text", "text": text[::-1]}]})
        else:
            self._answer(number, result)

    def _announce(self) -> None:
        changed = {"method": "notifications/resources/updated", "params": {"uri": "c100k://harness/announcement"}}
        for place, listener in enumerate(list(LISTENERS)):
            match self._behaviour:
                case "tells_some" if place % 2:
                    continue
                case "tells_twice":
                    listener._event(changed)
                case "hangs_up":
                    listener._transport.write(b"0\r\n\r\n")
                    continue
            listener._event(changed)

    def _stream(self) -> None:
        LISTENERS.append(self)
        kind = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        self._transport.write(f"HTTP/1.1 200 OK\r\n{kind}\r\n".encode())

    def _event(self, message: dict[str, Any]) -> None:
        event = b"event: message\r\ndata: " + json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\r\n\r\n"
        for piece in (event[:20], event[20:]):
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _answer(self, number: int, result: dict[str, Any], headers: str = "") -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
        if self._behaviour == "events":
            event = b": a comment\n\ndata: %b\n\n" % body
            self._respond(200, event, f"{headers}Content-Type: text/event-stream\r\n", chunked=True)
        elif self._behaviour == "chunked":
            self._respond(200, body, headers, chunked=True)
        else:
            self._respond(200, body, f"{headers}Content-Type: application/json\r\n")

    def _respond(self, status: int, body: bytes, headers: str = "", *, chunked: bool = False) -> None:
        if chunked:
            headers += "Transfer-Encoding: chunked\r\n"
            pieces = (body[:30], body[30:])
            body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        else:
            headers += f"Content-Length: {len(body)}\r\n"
        self._transport.write(f"HTTP/1.1 {status} X\r\n{headers}\r\n".encode() + body)


async def serve(behaviour: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(lambda: Connection(behaviour), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    print(json.dumps(COUNTS), flush=True)


asyncio.run(serve(sys.argv[1]))

"""An MCP server over TCP that behaves, or misbehaves on purpose: `python misbehaving_server.py BEHAVIOUR`.

It prints its port, and when it is told to stop (SIGTERM) what it counted, as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections import Counter
from typing import Any

COUNTS: Counter[str] = Counter()
STALL_S = 6.0
STALL_AFTER_CALLS = 75
LATE_S = 1.5
#: After the time-out of a second, and before the next look at what has timed out.
JUST_LATE_S = 1.02
DELAY_S = 0.02
ONE_IN = 100
ONE_DROPPED_IN = 10
CAP = 12
ACCEPT_EVERY_S = 0.15
AWAY_S = 1.2

#: The first loss of a connection, for servers that then accept no more.
LOST = asyncio.Event()
#: The least time between an answer and the next call of the same connection.
THINKING_US: list[int] = []

#: Microseconds that answers which are to be delayed really took.
DELAYS: list[int] = []


class Session(asyncio.Protocol):
    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour
        self._rest = b""
        self._answered_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        COUNTS["connections"] += 1
        self._transport = transport
        self._number = COUNTS["connections"]
        if self._behaviour == "cap":
            COUNTS["now"] += 1
            if COUNTS["now"] > CAP:
                COUNTS["turned_away"] += 1
                transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        COUNTS["lost" if error else "ended"] += 1
        LOST.set()
        if self._behaviour == "cap":
            COUNTS["now"] -= 1

    def _answer_later(self, message: dict[str, Any], began: float) -> None:
        DELAYS.append(int((time.perf_counter() - began) * 1e6))
        self._send(message)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            method = message.get("method", "reply")
            COUNTS[method] += 1
            if method == "initialize":
                self._initialize(message)
            elif method == "notifications/initialized":
                self._initialized()
            elif method == "ping":
                COUNTS[f"pings of {self._number}"] += 1
                if self._behaviour == "pongs":
                    self._send({"id": message["id"], "result": {}})
                elif self._behaviour == "refuses_pings":
                    self._send({"id": message["id"], "error": {"code": -32601, "message": "no"}})
            elif method == "tools/call":
                self._call(message)

    def _send(self, message: dict[str, Any]) -> None:
        self._transport.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def _initialize(self, message: dict[str, Any]) -> None:
        if self._behaviour == "deaf":
            return
        if self._behaviour == "garbage_in_handshake":
            self._transport.write(b"SSH-2.0-OpenSSH_9.2\r\n")
            return
        if self._behaviour == "closes_in_handshake":
            self._transport.write(b'{"jsonrpc":"2.0","id":0,')
            self._transport.close()
            return
        version = "2024-11-05" if self._behaviour == "other_version" else message["params"]["protocolVersion"]
        result: dict[str, Any] = {
            "protocolVersion": version,
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "t", "version": "1"},
        }
        self._send({"id": message["id"], "result": result})

    def _initialized(self) -> None:
        if self._behaviour == "talks":
            self._send({"method": "notifications/message", "params": {"level": "info", "data": "hello"}})
            self._send({"id": "question-1", "method": "ping"})
            self._send({"id": 7, "method": "roots/list"})

    def _call(self, message: dict[str, Any]) -> None:
        tool, number = message["params"]["name"], message["id"]
        if self._behaviour == "watches" and self._answered_at:
            THINKING_US.append(int((time.perf_counter() - self._answered_at) * 1e6))
        self._answered_at = time.perf_counter()
        if tool != "echo":
            COUNTS[f"{tool} {message['params']['arguments'].get('q', '')}".strip()] += 1
            failed = tool == "broken"
            self._send({"id": number, "result": {"content": [], "isError": failed}})
            return
        text = message["params"]["arguments"]["text"]
        COUNTS["text_bytes"] += len(text)
        good = {"id": number, "result": {"content": [{"type": "text", "text": text}]}}
        match self._behaviour:
            case "silent":
                pass
            case "garbage":
                self._transport.write(b"\x00\xff not JSON\n")
            case "wrong_id":
                self._send({**good, "id": number + 1_000_000})
            case "foreign_id":
                self._send({**good, "id": str(number)})
            case "wrong_payload":
                self._send({**good, "result": {"content": [{"type": "text", "text": text[::-1]}]}})
            case "wrong_shape":
                self._send({**good, "result": {"content": "none"}})
            case "rpc_error":
                self._send({"id": number, "error": {"code": -32603, "message": "no"}})
            case "tool_error":
                self._send({**good, "result": {**good["result"], "isError": True}})
            case "hangs_up":
                self._transport.close()
            case "one_error" if COUNTS["tools/call"] % ONE_IN == 0:
                self._send({"id": number, "error": {"code": -32603, "message": "no"}})
            case "drops" if COUNTS["tools/call"] % ONE_DROPPED_IN == 0:
                COUNTS["swallowed"] += 1
            case "half_open" if self._number % 2:
                COUNTS["swallowed"] += 1
            case "delay":
                later = asyncio.get_running_loop().call_later
                later(DELAY_S, self._answer_later, good, time.perf_counter())
            case "late":
                asyncio.get_running_loop().call_later(LATE_S, self._send, good)
            case "just_late":
                asyncio.get_running_loop().call_later(JUST_LATE_S, self._send, good)
            case "twice":
                self._send(good)
                self._send(good)
            case "stall":
                if COUNTS["tools/call"] == STALL_AFTER_CALLS:
                    time.sleep(STALL_S)
                self._send(good)
            case _:
                self._send(good)


async def accept_slowly(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(ACCEPT_EVERY_S)
        accepted, _ = await loop.sock_accept(listener)
        await loop.connect_accepted_socket(lambda: Session("good"), accepted)


async def leave(server: asyncio.Server, port: int, behaviour: str) -> None:
    """Accept no more connections when the first one is lost, for a while or for good."""
    await LOST.wait()
    server.close()
    if behaviour == "leaves_for_a_while":
        await asyncio.sleep(AWAY_S)
        await asyncio.get_running_loop().create_server(lambda: Session("good"), "127.0.0.1", port, backlog=1024)


async def serve(behaviour: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    if behaviour == "accepts_slowly":
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)
        accepting = loop.create_task(accept_slowly(listener))
        await stopped.wait()
        accepting.cancel()
        listener.close()
    else:
        server = await loop.create_server(lambda: Session(behaviour), "127.0.0.1", 0, backlog=1024)
        port = server.sockets[0].getsockname()[1]
        print(port, flush=True)
        leaving = loop.create_task(leave(server, port, behaviour)) if behaviour.startswith("leaves") else None
        await stopped.wait()
        if leaving is not None:
            leaving.cancel()
    if DELAYS:
        COUNTS["least_delay_us"] = min(DELAYS)
    if THINKING_US:
        COUNTS["least_thinking_us"] = min(THINKING_US)
    print(json.dumps(COUNTS), flush=True)


asyncio.run(serve(sys.argv[1]))

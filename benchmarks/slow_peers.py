"""Peers that a server has to suffer, as a process of their own: `slow_peers.py KIND HOST TCP_PORT HTTP_PORT COUNT`.

`readers` send requests and never read; `senders` send a byte of a request a second; `listeners` listen for `TOPIC`
and do nothing else. Half are on TCP and half on HTTP, but for listeners, which are all on HTTP. Who is cut off comes
back. It says `ready` once all are connected, and ends with its parent.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys

import uvloop
from raw_http import Client, post

# Long, so that each event is: the kernel holds much for a peer before the server must.
TOPIC = "bench://" + "x" * 8000
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
CONNECTS_AT_ONCE = 200
PIPELINED = 200
RECEIVE_BUFFER_BYTES = 4096
COME_BACK_S = 0.5


def stateless(port: int, method: str, **params: object) -> bytes:
    name = b"Mcp-Name: %b\r\n" % str(params["name"]).encode() if "name" in params else b""
    headers = b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %b\r\n%b" % (method.encode(), name)
    return post(port, line(method, **params).rstrip(), headers)


def line(method: str, **params: object) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    return json.dumps(message).encode() + b"\n"


async def connected(host: str, port: int) -> socket.socket:
    peer = socket.socket()
    peer.setblocking(False)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    await asyncio.get_running_loop().sock_connect(peer, (host, port))
    return peer


async def read_nothing(host: str, port: int, request: bytes, ready: asyncio.Semaphore) -> None:
    """Send until the connection takes no more, and wait there until it is cut off."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(OSError), await connected(host, port) as peer:
            ready.release()
            while True:
                await loop.sock_sendall(peer, request * PIPELINED)
        await asyncio.sleep(COME_BACK_S)


async def send_slowly(host: str, port: int, request: bytes, ready: asyncio.Semaphore, room: asyncio.Semaphore) -> None:
    """Send a byte a second."""
    while True:
        with contextlib.suppress(OSError):
            async with room:
                peer = await connected(host, port)
            with peer:
                ready.release()
                for position in range(len(request)):
                    peer.send(request[position : position + 1])
                    await asyncio.sleep(1)
        await asyncio.sleep(COME_BACK_S)


async def listen(host: str, port: int, request: bytes, ready: asyncio.Semaphore) -> None:
    client = await Client.connect(port, host)
    await client.open_stream(request, b"notifications/subscriptions/acknowledged")
    ready.release()


async def main(kind: str, host: str, tcp: int, http: int, count: int) -> None:
    ready = asyncio.Semaphore(0)
    room = asyncio.Semaphore(CONNECTS_AT_ONCE)
    tasks = []
    for number in range(count):
        port, make = (http, stateless) if number % 2 or kind == "listeners" else (tcp, lambda _, *a, **k: line(*a, **k))
        if kind == "readers":
            work = read_nothing(host, port, make(port, "tools/list"), ready)
        elif kind == "senders":
            work = send_slowly(host, port, make(port, "tools/list"), ready, room)
        else:
            wanted = {"resourceSubscriptions": [TOPIC]}
            work = listen(host, port, make(port, "subscriptions/listen", notifications=wanted), ready)
        tasks.append(asyncio.create_task(work))
    for _ in range(count):
        await ready.acquire()
    print("ready", flush=True)
    parent = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    await parent.read()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])))

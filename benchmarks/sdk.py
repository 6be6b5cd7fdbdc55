"""The server over Streamable HTTP beside the official Python SDK: the same app, client, requests and host, in turn.

CPU is that of the server's processes, user and system, by the request; memory is what they grow by, their proportional
share (PSS), by the client that is held. The server must cost at most 1/`LEAST` of what the SDK does in every row.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from loopback import HERE, cpu_s, free_port, processes_below, running
from raw_http import Client, get, post

LEAST = 8.0
SDK_PYTHON = HERE.parent / ".cache/sdk/2/bin/python"
# The SDK refuses more than 1,024 listeners.
HELD = 1000
REQUESTS = 4000
AT_ONCE = 16
EVENTS = 5
SETTLE_S = 3.0
TEXT = "x" * 100
TOPIC = "bench://topic"
INFORMATION = {"name": "benchmark", "version": "0"}
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": INFORMATION}  # fmt: skip
ACKNOWLEDGED = b"notifications/subscriptions/acknowledged"
UPDATED = b"notifications/resources/updated"


class Peer:
    """One client of the server: its connections, and the request that it repeats on the first."""

    def __init__(self, port: int, connections: list[Client], request: bytes) -> None:
        self.port = port
        self.connections = connections
        self.request = request

    async def exchange(self) -> None:
        answer = await self.connections[0].ask(self.request)
        if not answer.startswith(b"HTTP/1.1 200 ") or TEXT.encode() not in answer:
            raise SystemExit(f"a wrong answer: {answer!r}")

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


class Listener(Peer):
    """A client whose request is a stream: it repeats it by closing it and opening another."""

    async def exchange(self) -> None:
        self.close()
        self.connections = [await Client.connect(self.port)]
        await self.connections[0].open_stream(self.request, ACKNOWLEDGED)


def message(method: str, params: object, request_id: int | None = 1) -> bytes:
    identity = {} if request_id is None else {"id": request_id}
    return json.dumps({"jsonrpc": "2.0", **identity, "method": method, "params": params}).encode()


def call(name: str, **arguments: str) -> dict[str, object]:
    return {"name": name, "arguments": arguments}


def stateless(port: int, method: str, params: dict[str, object]) -> bytes:
    name = b"Mcp-Name: %b\r\n" % str(params["name"]).encode() if "name" in params else b""
    headers = b"MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: %b\r\n%b" % (method.encode(), name)
    return post(port, message(method, {**params, "_meta": META}), headers)


async def session(port: int) -> Peer:
    """A session of 2025-11-25, initialized, on a connection of its own."""
    client = await Client.connect(port)
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": INFORMATION}
    welcome = await client.ask(post(port, message("initialize", params)))
    session_id = welcome.lower().partition(b"mcp-session-id:")[2].split(b"\r\n", 1)[0].strip()
    headers = b"Mcp-Session-Id: %b\r\nMCP-Protocol-Version: 2025-11-25\r\n" % session_id
    accepted = await client.ask(post(port, message("notifications/initialized", {}, None), headers))
    if not accepted.startswith(b"HTTP/1.1 202 "):
        raise SystemExit(f"no session: {accepted!r}")
    return Peer(port, [client], post(port, message("tools/call", call("echo", text=TEXT)), headers))


async def session_with_stream(port: int) -> Peer:
    """The same, with the stream of its GET open on a second connection."""
    peer = await session(port)
    stream = await Client.connect(port)
    headers = peer.request.partition(b"Mcp-Session-Id")[1:]
    request = get(port, b"".join(headers).partition(b"Content-Length")[0])
    head = await stream.open_stream(request, b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"no stream: {head!r}")
    peer.connections.append(stream)
    return peer


async def caller(port: int) -> Peer:
    """A client of 2026-07-28, on a connection of its own."""
    return Peer(port, [await Client.connect(port)], stateless(port, "tools/call", call("echo", text=TEXT)))


async def listener(port: int) -> Peer:
    """A stream of subscriptions/listen."""
    wanted: dict[str, object] = {"notifications": {"resourceSubscriptions": [TOPIC]}}
    peer = Listener(port, [await Client.connect(port)], stateless(port, "subscriptions/listen", wanted))
    await peer.connections[0].open_stream(peer.request, ACKNOWLEDGED)
    return peer


KINDS: dict[str, Callable[[int], Awaitable[Peer]]] = {
    "session": session,
    "session with GET": session_with_stream,
    "stateless call": caller,
    "listen": listener,
}


class Server:
    """The processes of a server, as the kernel accounts for them."""

    def __init__(self, pid: int, port: int) -> None:
        self.port = port
        self._pids = processes_below(pid)

    def cpu_s(self) -> float:
        return sum(cpu_s(pid) for pid in self._pids)

    def pss_kib(self) -> int:
        return sum(pss_kib(pid) for pid in self._pids)


def pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


async def opened(port: int, kind: str, count: int) -> list[Peer]:
    peers: list[Peer] = []
    while len(peers) < count:
        peers += await asyncio.gather(*(KINDS[kind](port) for _ in range(min(AT_ONCE, count - len(peers)))))
    return peers


async def exchanges(peers: list[Peer], count: int) -> None:
    """Each of the peers has one request under way at a time."""

    async def repeat(peer: Peer) -> None:
        for _ in range(count // len(peers)):
            await peer.exchange()

    await asyncio.gather(*(repeat(peer) for peer in peers))


async def tell(port: int, listeners: list[Peer]) -> None:
    """Change what the listeners listen to, `EVENTS` times, and wait each time until all have heard."""
    other = await Client.connect(port)
    for number in range(EVENTS):
        await other.ask(stateless(port, "tools/call", call("touch", uri=TOPIC)))
        async with asyncio.timeout(60):
            for stream in (peer.connections[0] for peer in listeners):
                while stream.received.count(UPDATED) <= number:
                    stream.heard.clear()
                    await stream.heard.wait()
    other.close()


async def cpu_us(server: Server, work: Awaitable[None], count: int) -> float:
    """Microseconds of the server's CPU for each of `count` pieces of `work`."""
    before = server.cpu_s()
    await work
    return (server.cpu_s() - before) / count * 1e6


async def measure(server: Server, kind: str) -> dict[str, float]:
    """What a kind of client costs, by row of the table."""
    warm = await opened(server.port, kind, AT_ONCE)
    await exchanges(warm, 20 * AT_ONCE)
    alone_us = await cpu_us(server, exchanges(warm, REQUESTS), REQUESTS)
    await asyncio.sleep(SETTLE_S)
    idle = server.pss_kib()
    peers = await opened(server.port, kind, HELD - AT_ONCE)
    for start in range(0, len(peers), AT_ONCE):
        await exchanges(peers[start : start + AT_ONCE], len(peers[start : start + AT_ONCE]))
    await asyncio.sleep(SETTLE_S)
    kib = (server.pss_kib() - idle) / len(peers)
    costs = {
        f"{kind}, us among {AT_ONCE}": alone_us,
        f"{kind}, us among {HELD:,}": await cpu_us(server, exchanges(warm, REQUESTS), REQUESTS),
        f"{kind}, KiB": kib,
    }
    if kind == "listen":
        costs["event to a listener, us"] = await cpu_us(server, tell(server.port, [*warm, *peers]), EVENTS * HELD)
    for peer in [*warm, *peers]:
        peer.close()
    return costs


def command(name: str, port: int) -> list[str]:
    if name == "SDK":
        return [str(SDK_PYTHON), str(HERE / "sdk_server.py"), str(port)]
    served = ["serve", "sdk_app:app", "--http", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", "--workers", "1"]
    return [sys.executable, "-m", "c100k_server", *served]


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.1f} ({min(values):,.1f}, {max(values):,.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(options.repeat):
        for kind in options.kinds:
            for name in ("c100k-server", "SDK"):
                port = free_port()
                with running(command(name, port), port) as pid:
                    for row, figure in uvloop.run(measure(Server(pid, port), kind)).items():
                        found.setdefault(row, {}).setdefault(name, []).append(figure)
                        print(f"turn {turn + 1}  {name:<14}{row:<34}{figure:9,.1f}", flush=True)
    print(f"\n{HELD:,} clients held, {REQUESTS:,} requests of {AT_ONCE}; median (from, to) of {options.repeat} turns:")
    print(f"{'':<34}{'c100k-server':<28}{'SDK':<34}times less")
    ratios = {}
    for row, figures in found.items():
        ours, theirs = figures["c100k-server"], figures["SDK"]
        ratios[row] = statistics.median(theirs) / statistics.median(ours)
        print(f"{row:<34}{spread(ours):<28}{spread(theirs):<34}{ratios[row]:.1f}")
    print(f"at least {min(ratios.values()):.1f} times less (wanted {LEAST})")
    return int(min(ratios.values()) < LEAST)


if __name__ == "__main__":
    sys.exit(main())

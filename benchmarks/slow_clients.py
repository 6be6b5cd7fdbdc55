"""Whether clients that behave notice those that do not: their latency alone, and beside slow readers, peers whose
link has gone, and thousands that send a byte a second. As root: the peers live in a network namespace of their own.

Half of the clients that behave are on TCP and half on HTTP, each with a session; they send at a fixed rate whatever
comes back, and latency counts from when a request was to be sent.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.error import HTTPError
from urllib.request import urlopen

import uvloop
from loopback import HERE, free_port, running
from raw_http import Client, post
from slow_peers import TOPIC, stateless

CONNECTIONS = 500
RATE_PER_S = 1000
MEASURED_S = 15
LAST_ANSWER_S = 10
EVENT_EVERY_S = 0.05
NAMESPACE = f"c100k-slow-{os.getpid()}"
# Names of links have 15 characters at most.
LINK, PEER_LINK = f"cs{os.getpid()}", f"cp{os.getpid()}"
# Of TEST-NET-3, which is nobody's.
HOST, PEER = "203.0.113.1", "203.0.113.2"
PEERS = {"readers": 50, "listeners": 100, "senders": 10_000}
LIMITS = ["--slow-reader-s", "5", "--http-handshake-s", "5", "--http-request-s", "5"]
SESSION = b"Mcp-Session-Id: %b\r\nMCP-Protocol-Version: 2025-11-25\r\n"


@dataclass(frozen=True)
class Served:
    """What the clients that behave saw: latencies in milliseconds by transport, and requests without an answer."""

    latencies_ms: dict[str, list[float]]
    unanswered: int

    def percentile(self, transport: str, percent: float) -> float:
        found = sorted(self.latencies_ms[transport])
        return found[min(len(found) - 1, int(len(found) * percent / 100))]


class Caller(asyncio.Protocol):
    """A client that behaves. Answers end with a brace and a newline on either transport, and come in order."""

    def __init__(self, transport: str, port: int) -> None:
        self.name = transport
        self.waiting: deque[tuple[int, float]] = deque()
        self.latencies_ms: list[float] = []
        self.welcome = asyncio.get_running_loop().create_future()
        self._port = port
        self._headers = b""
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own class
        self._send(INITIALIZE)

    def data_received(self, data: bytes) -> None:
        *answers, self._rest = (self._rest + data).split(b"}\n")
        for answer in answers:
            if not self.welcome.done():
                session_id = answer.partition(b"Mcp-Session-Id: ")[2].partition(b"\r\n")[0]
                self._headers = SESSION % session_id
                self.welcome.set_result(None)
                continue
            number, intended = self.waiting.popleft()
            if b'"id":%d,' % number not in answer or b'"text":"%d"' % number not in answer:
                raise SystemExit(f"a wrong answer: {answer!r}")
            self.latencies_ms.append((time.perf_counter() - intended) * 1000)

    def call(self, number: int, intended: float) -> None:
        self.waiting.append((number, intended))
        params = {"name": "echo", "arguments": {"text": str(number)}}
        self._send({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})

    def _send(self, message: object) -> None:
        body = json.dumps(message).encode()
        self.transport.write(post(self._port, body, self._headers) if self.name == "http" else body + b"\n")


INITIALIZE = {
    "jsonrpc": "2.0", "id": 0, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "load", "version": "0"}},
}  # fmt: skip


class Ports:
    """Where a server listens."""

    def __init__(self) -> None:
        self.tcp, self.http, self.admin = free_port(), free_port(), free_port()

    def wait_ready(self) -> None:
        """Until all workers serve."""
        give_up = time.monotonic() + 10
        while True:
            try:
                urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=10).close()
                return
            except HTTPError as error:
                error.close()
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)

    def metrics(self) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10) as response:
            samples = [line.rpartition(" ") for line in response.read().decode().splitlines() if line[0] != "#"]
        return {name.removeprefix("c100k_server_"): float(value) for name, _, value in samples}


async def connect_callers(ports: Ports) -> list[Caller]:
    loop = asyncio.get_running_loop()
    callers = []
    for number in range(CONNECTIONS):
        name, port = ("http", ports.http) if number % 2 else ("tcp", ports.tcp)
        _, caller = await loop.create_connection(partial(Caller, name, port), HOST, port)
        await asyncio.wait_for(caller.welcome, 10)
        callers.append(caller)
    return callers


async def load(callers: list[Caller], seconds: float) -> Served:
    """Send at the rate for so long."""
    for caller in callers:
        caller.latencies_ms = []
    start = time.perf_counter()
    sent = 0
    while (elapsed := time.perf_counter() - start) < seconds:
        due = int(elapsed * RATE_PER_S)
        while sent < due:
            callers[sent % len(callers)].call(sent, start + sent / RATE_PER_S)
            sent += 1
        await asyncio.sleep(0.001)
    for _ in range(LAST_ANSWER_S * 100):
        if not any(caller.waiting for caller in callers):
            break
        await asyncio.sleep(0.01)
    latencies = {
        name: [each for caller in callers if caller.name == name for each in caller.latencies_ms]
        for name in ("tcp", "http")
    }
    return Served(latencies, sum(len(caller.waiting) for caller in callers))


@contextmanager
def network() -> Iterator[None]:
    """A namespace with a link to this one, on which the server listens."""
    commands = [
        f"netns add {NAMESPACE}",
        f"link add {LINK} type veth peer name {PEER_LINK} netns {NAMESPACE}",
        f"address add {HOST}/24 dev {LINK}",
        f"link set {LINK} up",
        f"-n {NAMESPACE} address add {PEER}/24 dev {PEER_LINK}",
        f"-n {NAMESPACE} link set {PEER_LINK} up",
    ]
    try:
        for command in commands:
            ip(command)
        yield
    finally:
        subprocess.run(["ip", "link", "delete", LINK], check=False)
        ip(f"netns delete {NAMESPACE}")


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


@contextmanager
def peers(kind: str, ports: Ports) -> Iterator[None]:
    """So many peers of a kind, from when all are connected."""
    # On cores that all share, the peers' own work is not to be taken for the server's.
    command = ["nice", "-n", "19", "ip", "netns", "exec", NAMESPACE]
    command += [sys.executable, str(HERE / "slow_peers.py"), kind, HOST, str(ports.tcp), str(ports.http)]
    command.append(str(PEERS[kind]))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"the {kind} could not connect")
        try:
            yield
        finally:
            process.stdin.close()
            process.wait(30)


async def touch(ports: Ports) -> None:
    """Change what the listeners listen to, again and again."""
    client = await Client.connect(ports.http, HOST)
    arguments = {"name": "touch", "arguments": {"uri": TOPIC}}
    request = stateless(ports.http, "tools/call", **arguments)
    while True:
        if not (await client.ask(request)).startswith(b"HTTP/1.1 200 "):
            raise SystemExit("nothing could be changed")
        await asyncio.sleep(EVENT_EVERY_S)


@dataclass(frozen=True)
class Turn:
    """One turn: latencies alone and beside, and what the server says of itself at the end."""

    alone: Served
    beside: Served
    metrics: dict[str, float]

    def total(self, name: str) -> float:
        return sum(value for key, value in self.metrics.items() if key.startswith(f"{name}{{worker="))

    def maximum(self, name: str) -> float:
        return max(value for key, value in self.metrics.items() if key.startswith(f"{name}{{worker="))

    def causes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for key, value in self.metrics.items():
            if key.startswith("connections_closed_total") and value:
                cause = key.partition('cause="')[2].partition('"')[0]
                found[cause] = found.get(cause, 0) + int(value)
        return found


async def measure(kind: str, ports: Ports) -> Turn:
    callers = await connect_callers(ports)
    await load(callers, 2)
    alone = await load(callers, MEASURED_S)
    with peers(kind, ports):
        touching = None
        if kind == "listeners":
            # No FIN comes from there, and no acknowledgement.
            ip(f"-n {NAMESPACE} link set {PEER_LINK} down")
            touching = asyncio.create_task(touch(ports))
        beside = await load(callers, MEASURED_S)
        metrics = ports.metrics()
        if touching is not None:
            touching.cancel()
    for caller in callers:
        caller.transport.close()
    return Turn(alone, beside, metrics)


def serve(kind: str) -> Turn:
    """A turn, with a server of its own."""
    ports = Ports()
    addresses = [
        "--tcp",
        f"{HOST}:{ports.tcp}",
        "--http",
        f"{HOST}:{ports.http}",
        "--admin",
        f"127.0.0.1:{ports.admin}",
    ]
    command = [sys.executable, "-m", "c100k_server", "serve", "sdk_app:app", *addresses, "--workers", "2", *LIMITS]
    with network(), running(command, ports.admin):
        ports.wait_ready()
        return uvloop.run(measure(kind, ports))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    # Ended from outside, it still removes what it made.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    unanswered = 0
    print(f"{CONNECTIONS} clients that behave, {RATE_PER_S:,} requests/s, {MEASURED_S} s alone, then beside; ms")
    for kind in options.kinds:
        turns = []
        for number in range(options.repeat):
            turns.append(turn := serve(kind))
            unanswered += turn.alone.unanswered + turn.beside.unanswered
            mib = turn.total("resident_memory_bytes") / 2**20
            lag_ms = turn.maximum("loop_lag_max_seconds") * 1000
            told = f"closed {turn.causes()}, workers {mib:.0f} MiB, a timer up to {lag_ms:.0f} ms late"
            print(f"turn {number + 1}, {PEERS[kind]:,} {kind}: {told}", flush=True)
        for transport in ("tcp", "http"):
            for percent in (50, 99):
                alone = [turn.alone.percentile(transport, percent) for turn in turns]
                beside = [turn.beside.percentile(transport, percent) for turn in turns]
                ratio = statistics.median(each / before for before, each in zip(alone, beside, strict=True))
                print(
                    f"  {transport:<5}p{percent}  alone {spread(alone):<24}beside {spread(beside):<24}{ratio:.1f} times"
                )
    print(f"{unanswered} requests unanswered")
    return int(unanswered > 0)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())

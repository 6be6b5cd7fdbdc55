"""Cost of a look-up of a name: what CPU a worker takes when Redis has to be asked for it, and when it need not.

Two nodes of the server with a Redis Cluster of four masters and four replicas on loopback. All names are registered at
one and looked up at the other, each once and then each once more. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop
from loopback import HERE, cpu_s, free_port, processes_below, running

sys.path.insert(0, str(HERE.parent / "tests"))
from redis_cluster import RedisCluster

PROTOCOL = "2025-11-25"
NAMES_OF_A_SESSION = 50


@dataclass(frozen=True)
class Cost:
    """Microseconds a look-up of the node and of the masters, and seconds of wall time for all."""

    server_us: float
    masters_us: float
    took_s: float


class Client:
    """One session over TCP, with one request under way at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, port: int) -> Client:
        client = cls(*await asyncio.open_connection("127.0.0.1", port))
        capabilities = {"experimental": {"c100k/registry": {}, "c100k/resume": {}}}
        me = {"name": "benchmark", "version": "1"}
        await client.call("initialize", protocolVersion=PROTOCOL, capabilities=capabilities, clientInfo=me)
        return client

    async def call(self, method: str, **params: object) -> dict[str, object]:
        self._writer.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        answer = json.loads(await self._reader.readline())
        result: dict[str, object] = answer["result"]
        return result


async def register(port: int, names: list[str]) -> list[Client]:
    """Sessions that have the names."""

    async def one(mine: list[str]) -> Client:
        client = await Client.connect(port)
        for name in mine:
            await client.call("c100k/registry/register", name=name, value={"of": name})
        return client

    parts = [names[start : start + NAMES_OF_A_SESSION] for start in range(0, len(names), NAMES_OF_A_SESSION)]
    return await asyncio.gather(*map(one, parts))


async def look_up(clients: list[Client], names: list[str]) -> None:
    """Each name once, each client one after the other."""

    async def one(client: Client, mine: list[str]) -> None:
        for name in mine:
            found = await client.call("c100k/registry/find", name=name)
            assert found["found"], found

    await asyncio.gather(*(one(client, names[index :: len(clients)]) for index, client in enumerate(clients)))


async def measure(names_count: int, clients_count: int) -> tuple[Cost, Cost]:
    """Cold, and warm."""
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        redis = RedisCluster(Path(work))
        stack.callback(redis.close)
        ports, nodes = [], []
        for index in range(2):
            ports.append(free_port())
            options = ["--tcp", f"127.0.0.1:{ports[-1]}", "--admin", "127.0.0.1:0", "--workers", "1"]
            options += ["--state", "redis", "--redis", redis.seeds, "--node", f"n{index}"]
            command = [sys.executable, "-m", "c100k_server", "serve", *options]
            nodes.append(stack.enter_context(running(command, ports[-1])))
        names = [f"name-{number:06}" for number in range(names_count)]
        owners = await register(ports[0], names)
        clients = [await Client.connect(ports[1]) for _ in range(clients_count)]
        masters = [server.pid for server in redis.servers[: redis.masters]]

        async def cost() -> Cost:
            def spent() -> tuple[float, float]:
                return sum(map(cpu_s, processes_below(nodes[1]))), sum(map(cpu_s, masters))

            server, store = spent()
            began = time.monotonic()
            await look_up(clients, names)
            took = time.monotonic() - began
            server_after, store_after = spent()
            each = 1e6 / len(names)
            return Cost((server_after - server) * each, (store_after - store) * each, took)

        costs = await cost(), await cost()
        assert len(owners) == -(-names_count // NAMES_OF_A_SESSION)
        return costs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("--clients", type=int, nargs="+", default=[50], help="how many ask at a time")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    for clients in options.clients:
        turns = [uvloop.run(measure(options.names, clients)) for _ in range(options.repeat)]
        for kind, costs in zip(("by Redis", "remembered"), zip(*turns, strict=True), strict=True):
            server, masters, took = (
                [getattr(cost, field) for cost in costs] for field in ("server_us", "masters_us", "took_s")
            )
            print(
                f"{clients:>3} at a time, {kind:<11} server {statistics.median(server):5.1f} us "
                f"({min(server):.1f} to {max(server):.1f}), masters {statistics.median(masters):5.1f} us, "
                f"{options.names / statistics.median(took):,.0f} a second",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

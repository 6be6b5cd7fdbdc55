"""A node is cut off from the others with the Redis servers beside it, while clients on both sides go on writing."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_cluster import RedisCluster, until

from c100k import operations
from c100k.run_directory import RunDirectory

from . import namespaces
from .contest import Address, Contest, begin, write

pytestmark = pytest.mark.lab

HOSTS = 4
PORT = 7000
SESSIONS = 16
# Which node is cut off, when and for how long follows from the seed. More of them: C100K_SEEDS=50.
SEEDS = range(int(os.environ.get("C100K_SEEDS", "5")))


class Network:
    """Four hosts, each with a server and its part of the Redis Cluster."""

    def __init__(self, directory: Path) -> None:
        self.redis = RedisCluster(directory, HOSTS, [namespaces.place(host) for host in range(HOSTS)])
        self.servers = [self._serve(directory, host) for host in range(HOSTS)]
        for server in self.servers:
            assert server.stderr is not None
            while '"listening"' not in server.stderr.readline():
                assert server.poll() is None

    def _serve(self, directory: Path, host: int) -> subprocess.Popen[str]:
        place = namespaces.place(host)
        command = [*place.enter, sys.executable, "-m", "c100k_server", "serve", "--workers", "1"]
        command += ["--tcp", f"{place.address}:{PORT}", "--admin", f"{place.address}:{PORT + 1}"]
        command += ["--state", "redis", "--redis", self.redis.seeds, "--node", f"node{host}"]
        return subprocess.Popen([*command, "--redis-failover-after-s", "1"], stderr=subprocess.PIPE, text=True)

    def close(self) -> None:
        for server in self.servers:
            server.terminate()
        for server in self.servers:
            server.communicate(timeout=30)
        self.redis.close()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    namespaces.set_up(HOSTS)
    try:
        network = Network(tmp_path_factory.mktemp("redis"))
        yield network
        network.close()
    finally:
        namespaces.take_down(HOSTS)


def node(host: int) -> Address:
    return namespaces.address(host), PORT


async def contend(network: Network, chance: random.Random) -> list[Contest]:
    """Writes on both sides, before, in and after a partition."""
    victim = chance.randrange(HOSTS)
    others = [host for host in range(HOSTS) if host != victim]
    contests = [await begin(number, node(number % HOSTS)) for number in range(SESSIONS)]
    async with asyncio.TaskGroup() as tasks:
        clients = []
        for contest in contests:
            clients.append(tasks.create_task(contest.take_part(lambda: node(victim), chance)))
            clients.append(tasks.create_task(contest.take_part(lambda: node(chance.choice(others)), chance)))
        await asyncio.sleep(chance.uniform(0.5, 2))
        namespaces.cut_off(victim, network.redis.ports)
        try:
            await asyncio.sleep(chance.uniform(0.5, 8))
        finally:
            namespaces.heal(victim)
        await asyncio.sleep(chance.uniform(0.5, 2))
        for client in clients:
            client.cancel()
    return contests


@pytest.mark.parametrize("seed", SEEDS)
def test_no_acknowledged_write_is_lost_or_contradicted(network: Network, tmp_path: Path, seed: int) -> None:
    until(lambda: all(server.poll() is None for server in network.servers))
    contests = asyncio.run(contend(network, random.Random(seed)))
    network.redis.give_back()

    async def read() -> list[int]:
        return [await contest.read(node(contest.number % HOSTS)) for contest in contests]

    write(tmp_path / "hosts/contest", contests, asyncio.run(read()))
    found = operations.check(RunDirectory(tmp_path))
    assert found is not None
    assert (found.lost, found.duplicated, found.reordered, found.unread) == (0, 0, 0, 0), found.violations
    assert [contest.contradictions for contest in contests] == [[]] * SESSIONS
    assert found.acknowledged > SESSIONS
    # A seed says something only if writes were refused, or of unknown outcome, for the partition.
    assert found.errors + found.unknown > 0
    print(f"seed {seed}: {found.acknowledged} acknowledged, {found.errors} refused, {found.unknown} unknown")

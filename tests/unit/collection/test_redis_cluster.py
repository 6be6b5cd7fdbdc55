"""The modules `redis_cluster` and `redis_keys`, and those with their `_info`, on real redis-server processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .redis_servers import BUS_OFFSET, PASSWORD, PORTS, RedisServers, command, program

MASTER, REPLICA = PORTS
Module = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.skipif(program() is None, reason="redis-server is missing: scripts/host-packages redis-tools")


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[RedisServers]:
    started = RedisServers(tmp_path)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def module(collection: Path) -> Module:
    """Runs a module over some hosts as Ansible does, and gives its result."""
    path = str(collection.parents[2])

    def run_module(name: str, hosts: list[int], check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {
            "hosts": [{"host": f"node{host}", "address": RedisServers.address(host)} for host in hosts],
            "ports": list(PORTS),
            "bus_offset": BUS_OFFSET,
            "password": PASSWORD,
            "_ansible_check_mode": check,
            **arguments,
        }
        arguments = {key: value for key, value in arguments.items() if value is not None}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(collection / f"plugins/modules/{name}.py")],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.stdout.strip(), done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run_module


def form(module: Module, hosts: list[int]) -> dict[str, Any]:
    result = module("redis_cluster", hosts, timeout_s=30)
    assert not result.get("failed"), result["msg"]
    return result


def layout(result: dict[str, Any]) -> dict[str, tuple[str | None, int]]:
    """The master and the slots of each instance."""
    return {f"{node['host']}:{node['port']}": (node["master"], node["slots"]) for node in result["cluster"]["nodes"]}


def ring(slots: list[int]) -> dict[str, tuple[str | None, int]]:
    """A master on every host, its replica on the next."""
    count = len(slots)
    return {
        **{f"node{number}:{MASTER}": (None, share) for number, share in enumerate(slots, 1)},
        **{f"node{number % count + 1}:{REPLICA}": (f"node{number}:{MASTER}", 0) for number in range(1, count + 1)},
    }


def wait_until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def fill(keys: int) -> None:
    for key in range(keys):
        assert command(1, MASTER, "set", f"key{key}", str(key)) == "OK"


def assert_filled(keys: int) -> None:
    assert [command(1, MASTER, "get", f"key{key}") for key in range(keys)] == [str(key) for key in range(keys)]


def test_check_mode_then_form_then_form_again(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3, 4])

    foreseen = module("redis_cluster", [1, 2, 3, 4], check=True)
    assert foreseen["changed"]
    assert set(layout(foreseen).values()) == {(None, 0)}
    lacking = module("redis_cluster_info", [1, 2, 3, 4])
    assert not lacking["complete"]
    assert f"node1:{MASTER} is in no cluster." in lacking["problems"]

    formed = form(module, [1, 2, 3, 4])
    assert formed["steps"] == foreseen["steps"]
    assert layout(formed) == ring([4096] * 4)

    again = form(module, [1, 2, 3, 4])
    assert (again["changed"], again["steps"]) == (False, [])
    info = module("redis_cluster_info", [1, 2, 3, 4])
    assert (info["complete"], info["problems"], info["misplaced"]) == (True, [], [])
    assert info["cluster"]["slots_covered"] == 16384


def test_a_host_more_gets_its_share_and_every_key_is_still_there(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3, 4])
    form(module, [1, 2, 3])
    fill(200)

    grown = form(module, [1, 2, 3, 4])

    assert layout(grown) == ring([4096] * 4)
    assert_filled(200)
    assert int(command(4, MASTER, "dbsize")) > 0
    assert not form(module, [1, 2, 3, 4])["changed"]


def test_after_a_failover_every_host_has_its_master_again(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    form(module, [1, 2, 3])
    fill(50)
    servers.kill(2, MASTER)
    wait_until(lambda: "role:master" in command(3, REPLICA, "info", "replication"))

    broken = module("redis_cluster_info", [1, 2, 3])
    assert not broken["complete"]
    assert any(sentence.startswith(f"node2:{MASTER} does not answer") for sentence in broken["problems"])
    assert f"node3:{REPLICA} has no replica, so its slots are on one host only." in broken["problems"]

    servers.start([2], [MASTER])
    mended = form(module, [1, 2, 3])

    assert f"node2:{MASTER} is promoted to master" in mended["steps"]
    assert layout(mended) == ring([5461, 5461, 5462])
    assert_filled(50)


def test_a_host_that_was_installed_anew_takes_its_place_again(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    form(module, [1, 2, 3])
    fill(50)
    for port in PORTS:
        servers.kill(2, port)
    wait_until(lambda: "role:master" in command(3, REPLICA, "info", "replication"))
    for port in PORTS:
        servers.lose_disk(2, port)
    servers.start([2])

    mended = form(module, [1, 2, 3])

    assert sum("is forgotten" in step for step in mended["steps"]) == 2
    assert layout(mended) == ring([5461, 5461, 5462])
    assert_filled(50)


def test_a_replica_on_its_masters_host_is_told_and_moved(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    form(module, [1, 2, 3])
    command(2, REPLICA, "cluster", "replicate", command(2, MASTER, "cluster", "myid"))

    def sentences() -> list[str]:
        found: list[str] = module("redis_cluster_info", [1, 2, 3])["problems"]
        return found

    told = f"node2:{REPLICA} replicates node2:{MASTER} on the same host, so that host alone has those slots"
    wait_until(lambda: any(sentence.startswith(told) for sentence in sentences()))
    assert f"node1:{MASTER} has no replica, so its slots are on one host only." in sentences()

    assert layout(form(module, [1, 2, 3])) == ring([5461, 5461, 5462])


def test_a_third_port_gives_every_master_a_second_replica(servers: RedisServers, module: Module) -> None:
    ports = [*PORTS, max(PORTS) + 1]
    servers.start([1, 2, 3], ports)

    formed = module("redis_cluster", [1, 2, 3], ports=ports)

    nodes = formed["cluster"]["nodes"]
    copies = {(node["master"] or f"{node['host']}:{MASTER}", node["host"]) for node in nodes}
    assert copies == {(f"node{master}:{MASTER}", f"node{host}") for master in (1, 2, 3) for host in (1, 2, 3)}


def test_a_move_of_slots_that_was_interrupted_is_finished(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    form(module, [1, 2, 3])
    slot = command(1, MASTER, "cluster", "keyslot", "kept")
    assert int(slot) < 5461, "the key must belong to the first host"
    command(1, MASTER, "set", "kept", "value")
    first, third = (command(host, MASTER, "cluster", "myid") for host in (1, 3))
    command(1, MASTER, "cluster", "setslot", slot, "migrating", third)
    command(3, MASTER, "cluster", "setslot", slot, "importing", first)
    assert any(
        f"has slot {slot} on its way" in sentence for sentence in module("redis_cluster_info", [1, 2, 3])["problems"]
    )

    form(module, [1, 2, 3])

    assert module("redis_cluster_info", [1, 2, 3])["problems"] == []
    assert command(1, MASTER, "get", "kept") == "value"


@pytest.mark.parametrize("hosts", [[1], [1, 2]])
def test_fewer_than_three_hosts_are_refused_for_want_of_a_majority(module: Module, hosts: list[int]) -> None:
    refused = module("redis_cluster", hosts)
    assert refused["failed"]
    assert f"at least 3 hosts, but the group has {len(hosts)}" in refused["msg"]
    assert "majority" in refused["msg"]


def test_a_host_is_not_taken_out(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3, 4])
    form(module, [1, 2, 3, 4])

    refused = module("redis_cluster", [1, 2, 3])

    assert refused["failed"]
    assert f"127.0.4.1:{MASTER} is in the cluster but not in the group" in refused["msg"]


def test_an_instance_with_keys_of_its_own_is_not_brought_in(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    command(2, MASTER, "cluster", "addslots", command(2, MASTER, "cluster", "keyslot", "mine"))
    wait_until(lambda: "cluster_state:ok" in command(2, MASTER, "cluster", "info"))
    command(2, MASTER, "set", "mine", "1")
    command(2, MASTER, "cluster", "delslots", command(2, MASTER, "cluster", "keyslot", "mine"))

    refused = module("redis_cluster", [1, 2, 3])

    assert refused["failed"]
    assert f"node2:{MASTER} is in no cluster but holds 1 keys" in refused["msg"]


def test_an_instance_that_is_away_is_named(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    servers.kill(3, REPLICA)

    failed = module("redis_cluster", [1, 2, 3], timeout_s=1)

    assert failed["failed"]
    assert f"node3:{REPLICA} does not answer" in failed["msg"]


def test_a_wrong_password_is_told(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])

    told = module("redis_cluster_info", [1, 2, 3], password="wrong")

    assert not told["complete"]
    assert all("WRONGPASS" in sentence for sentence in told["problems"])


def test_keys_that_begin_alike_are_measured(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    module("redis_cluster", [1, 2, 3])
    for number in range(30):
        command(1, MASTER, "SET", f"c100k:r:{number}", "x" * 1000)
        command(1, MASTER, "SET", f"other:{number}", "x")
    for number in range(500):
        command(1, MASTER, "ZADD", "c100k:names:0", "0", f"{number}" if number else "x" * 10_000)

    def keys(*prefixes: str) -> dict[str, Any]:
        return module("redis_keys_info", [1, 2, 3], prefixes=prefixes, bus_offset=None)

    (names, index, none) = keys("c100k:r:", "c100k:names:", "c?00k:")["prefixes"]
    assert (names["prefix"], names["keys"]) == ("c100k:r:", 30)
    assert 30 * 1000 < names["bytes"] < 30 * 2000
    assert (index["keys"], none["keys"], none["bytes"]) == (1, 0, 0)
    assert 10_000 < index["bytes"] < 100_000, "all members are looked at, not a few of them"

    servers.kill(2, MASTER)
    assert "node2:7110 could not be measured" in keys("c100k:r:")["msg"]


def test_only_the_keys_of_a_prefix_are_removed(servers: RedisServers, module: Module) -> None:
    servers.start([1, 2, 3])
    module("redis_cluster", [1, 2, 3])
    for number in range(30):
        command(1, MASTER, "SET", f"c100k:s:{number}", "x")
        command(1, MASTER, "SET", f"other:{number}", "x")
    command(1, MASTER, "SET", "c1:x", "x")

    def keys(prefix: str, check: bool = False) -> dict[str, Any]:
        return module("redis_keys", [1, 2, 3], check, prefix=prefix, bus_offset=None)

    assert keys("c?:")["keys"] == 0, "it is no pattern"
    assert (keys("c100k:", check=True)["keys"], keys("c100k:")["keys"], keys("c100k:")["changed"]) == (30, 30, False)
    assert {command(1, MASTER, "GET", f"other:{number}") for number in range(30)} == {"x"}
    assert "all keys of everybody" in keys("")["msg"]

    servers.kill(2, MASTER)
    assert "node2:7110 could not be emptied" in keys("c100k:")["msg"]

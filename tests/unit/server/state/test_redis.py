"""The client of Redis Cluster, against real servers that are killed, paused and moved under it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c100k_server.config import Address
from c100k_server.redis import CommandError, OutcomeUnknownError, Script, StateUnavailableError, key_slot
from c100k_server.redis.cluster import Cluster, Settings
from c100k_server.redis.replicas import has_living_replica, was_in_step

COUNT = Script(
    "count to, once",
    """
    if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then
      redis.call('INCR', KEYS[1])
    else
      redis.call('PERSIST', KEYS[1])
    end
    return tonumber(redis.call('GET', KEYS[1]))
    """,
)


def connected(seeds: str, test: Callable[[Cluster], Awaitable[None]], **options: Any) -> None:
    """Run a test with a client."""

    async def run() -> None:
        cluster = Cluster(Settings(tuple(Address.parse(seed) for seed in seeds.split(",")), **options))
        await cluster.start()
        try:
            await test(cluster)
        finally:
            await cluster.close()

    uvloop.run(run())


@pytest.mark.parametrize("loop", [asyncio.run, uvloop.run])
def test_it_writes_and_reads_on_all_masters(redis: Any, loop: Callable[..., None]) -> None:
    async def run() -> None:
        cluster = Cluster(Settings((Address("127.0.0.1", redis.ports[0]),)))
        await cluster.start()
        assert cluster.healthy
        keys = [f"key:{number}" for number in range(200)]
        written = await asyncio.gather(*(cluster.execute(key, "SET", key, key, durable=True) for key in keys))
        assert written == [b"OK"] * 200
        assert await asyncio.gather(*(cluster.execute(key, "GET", key) for key in keys)) == [k.encode() for k in keys]
        assert cluster.figures.operations == 400
        assert cluster.figures.single_copy_acks == 0
        await cluster.close()
        with pytest.raises(StateUnavailableError, match="closed"):
            await cluster.execute("key", "GET", "key")

    loop(run())


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(st.sampled_from("{}ab:ü"), max_size=12) | st.text(max_size=20))
def test_slots_are_those_that_redis_computes(shared_cluster: Any, key: str) -> None:
    assert key_slot(key.encode()) == shared_cluster.command(0, "CLUSTER", "KEYSLOT", key)


def test_errors_of_the_caller_are_told_at_once(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        with pytest.raises(CommandError, match="wrong number"):
            await cluster.execute("a", "GET")
        await cluster.execute("a", "SET", "a", "text")
        with pytest.raises(CommandError, match="not an integer"):
            await cluster.execute("a", "INCR", "a", durable=True)

    connected(redis.seeds, test)


def test_scripts_are_loaded_where_they_are_needed(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        numbers = await asyncio.gather(*(cluster.script(COUNT, [f"s{n}"], [1], durable=True) for n in range(20)))
        assert numbers == [1] * 20
        for index in range(4):
            redis.command(index, "SCRIPT", "FLUSH")
        assert await asyncio.gather(*(cluster.script(COUNT, [f"s{n}"], [2]) for n in range(20))) == [2] * 20

    redis.command(0, "PING")
    connected(redis.seeds, test)


def test_slots_that_move_are_followed(redis: Any) -> None:
    key = "{moving}"
    slot = redis.command(0, "CLUSTER", "KEYSLOT", key)
    source = redis.master_of(key)
    target = next(index for index in range(8) if redis.command(index, "ROLE")[0] == b"master" and index != source)
    names = {index: redis.command(index, "CLUSTER", "MYID").decode() for index in (source, target)}

    async def test(cluster: Cluster) -> None:
        await cluster.execute(key, "SET", key, "here")
        redis.command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        redis.command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        # A key that is not there (any more) is asked for at the target.
        assert await cluster.execute(key, "GET", f"{key}other") is None
        redis.command(source, "MIGRATE", "127.0.0.1", redis.ports[target], key, 0, 1000)
        assert await cluster.execute(key, "GET", key) == b"here"
        redis.command(target, "CLUSTER", "SETSLOT", slot, "NODE", names[target])
        redis.command(source, "CLUSTER", "SETSLOT", slot, "NODE", names[target])
        assert await cluster.execute(key, "GET", key) == b"here"
        assert await cluster.execute(key, "SET", key, "there", durable=True) == b"OK"

    connected(redis.seeds, test)


def test_no_acknowledged_write_is_lost_or_doubled_when_a_master_dies(redis: Any) -> None:
    keys = [f"counter:{number}" for number in range(40)]
    acknowledged = dict.fromkeys(keys, 0)
    until = time.monotonic() + 5
    killed = redis.master_of(keys[0])

    async def count(cluster: Cluster, key: str) -> None:
        while time.monotonic() < until:
            try:
                reached = await cluster.script(COUNT, [key], [acknowledged[key] + 1], durable=True)
            except StateUnavailableError:
                await asyncio.sleep(0.05)
                continue
            assert reached == acknowledged[key] + 1
            acknowledged[key] = reached

    async def test(cluster: Cluster) -> None:
        counting = asyncio.gather(*(count(cluster, key) for key in keys))
        await asyncio.sleep(0.5)
        before = dict(acknowledged)
        redis.kill(killed)
        await counting
        stored = await asyncio.gather(*(cluster.execute(key, "GET", key) for key in keys))
        assert dict(zip(keys, map(int, stored), strict=True)) == acknowledged
        assert all(acknowledged[key] > before[key] for key in keys), "every counter goes on after the failover"
        # The promoted replica has none of its own, and says so.
        assert cluster.figures.single_copy_acks > 0
        assert cluster.healthy

    connected(redis.seeds, test)


def test_a_write_that_no_replica_confirms_is_of_unknown_outcome(redis: Any) -> None:
    key = "lonely"
    replica = redis.replicas_of(redis.master_of(key))[0]

    async def test(cluster: Cluster) -> None:
        redis.pause(replica)
        # Not yet called dead by the others: nobody may take the master for the only copy.
        with pytest.raises(OutcomeUnknownError):
            await cluster.execute(key, "SET", key, 1, durable=True, timeout_s=0.3)
        assert cluster.figures.single_copy_acks == 0
        while True:
            try:
                assert await cluster.execute(key, "SET", key, 2, durable=True) == b"OK"
                break
            except OutcomeUnknownError:
                continue
        assert cluster.figures.single_copy_acks > 0
        assert await cluster.execute(key, "GET", key) == b"2"
        redis.resume(replica)

    connected(redis.seeds, test)


def test_what_must_not_be_done_twice_is_not_tried_twice(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        await cluster.execute("once", "DEL", "once")
        master = redis.master_of("once")
        redis.pause(master)
        asked = cluster.execute("once", "RPUSH", "once", "x", repeatable=False)
        with pytest.raises(OutcomeUnknownError, match="may have been done"):
            await asked
        redis.resume(master)

    connected(redis.seeds, test)


def test_a_silent_master_is_given_up_and_all_ends(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        master = redis.master_of("quiet")
        redis.pause(master)
        asked = [cluster.execute("quiet", "GET", "quiet", timeout_s=0.3) for _ in range(100)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, StateUnavailableError) for outcome in outcomes)
        assert not cluster.healthy
        redis.resume(master)
        assert await cluster.wait_healthy(10)
        assert await cluster.execute("quiet", "SET", "quiet", 1) == b"OK"

    connected(redis.seeds, test)


def test_waiting_is_bounded_while_redis_is_down_and_all_recovers(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        for index in range(8):
            redis.pause(index)
        asked = [cluster.execute("a", "GET", "a") for _ in range(15_000)]
        await asyncio.sleep(0)
        refused = [each for each in asked if each.done()]
        assert len(refused) >= 4_000
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(outcome, StateUnavailableError) for outcome in outcomes)
        for index in range(8):
            redis.resume(index)
        assert await cluster.wait_healthy(10)
        await cluster.execute("a", "SET", "a", 1, durable=True)

    connected(redis.seeds, test)


def test_nobody_there_is_told_with_the_reason() -> None:
    async def test(cluster: Cluster) -> None:
        assert not cluster.healthy
        with pytest.raises(StateUnavailableError, match=r"127\.0\.0\.1:1"):
            await cluster.execute("a", "GET", "a")

    connected("127.0.0.1:1", test)


def test_a_user_must_have_the_right_password(redis: Any) -> None:
    async def right(cluster: Cluster) -> None:
        assert await cluster.execute("a", "SET", "a", 1) == b"OK"

    async def wrong(cluster: Cluster) -> None:
        with pytest.raises(StateUnavailableError, match="WRONGPASS"):
            await cluster.execute("a", "SET", "a", 1)

    for index in range(8):
        redis.command(index, "ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all")
    connected(redis.seeds, right, username="app", password="secret")
    connected(redis.seeds, wrong, username="app", password="wrong")


@pytest.mark.parametrize(
    ("replica", "expected"),
    [("slave", True), ("slave,fail?", True), ("slave,fail", False), ("slave,fail,noaddr", False)],
)
def test_only_what_the_majority_calls_dead_is_dead(replica: str, expected: bool) -> None:
    rows = [
        "a 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-10",
        f"b :2@3 {replica} a 0 0 1 connected",
        "c :4@5 slave d 0",
    ]
    assert has_living_replica("\n".join(rows)) is expected


def test_a_master_that_was_replaced_is_not_the_last_to_have_a_write() -> None:
    rows = ["a 127.0.0.1:1@2 myself,slave b 0 0 2 connected", "b :2@3 master - 0 0 2 connected 0-10"]
    assert has_living_replica("\n".join(rows))


LINKED = {
    "role": "slave",
    "master_link_status": "up",
    "master_last_io_seconds_ago": "1",
    "master_sync_in_progress": "0",
}


@pytest.mark.parametrize(
    ("differently", "expected"),
    [
        ({}, True),
        ({"master_last_io_seconds_ago": "4"}, False),
        ({"master_sync_in_progress": "1"}, False),
        ({"role": "master"}, False),
        ({"master_link_status": "down", "master_link_down_since_seconds": "1"}, True),
        ({"master_link_status": "down", "master_link_down_since_seconds": "4"}, False),
        # It has started anew, and has nothing.
        ({"master_link_status": "down", "master_link_down_since_seconds": "-1"}, False),
        ({"master_link_status": "down"}, False),
    ],
)
def test_a_replica_is_in_step_that_heard_from_its_master_just_now(differently: dict[str, str], expected: bool) -> None:
    assert was_in_step({**LINKED, **differently}, within_s=3) is expected

"""Who loads whom: every connection and message is given out once, and nobody loads its own host without need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import ModuleType

import pytest
from ansible.errors import AnsibleFilterError
from hypothesis import given
from hypothesis import strategies as st

from c100k_loadgen.assignment import assignments
from c100k_loadgen.opener import destination
from c100k_loadgen.plan import Plan, Target


@pytest.fixture(scope="module")
def topology(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("plugins/filter/topology.py")


names = st.lists(st.sampled_from([f"node{number}" for number in range(9)]), min_size=1, unique=True)


@given(total=st.integers(0, 10_000_000), count=st.integers(1, 500))
def test_shares_sum_up_and_differ_by_at_most_one(topology: ModuleType, total: int, count: int) -> None:
    parts = topology.shares(total, count)

    assert len(parts) == count
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_there_must_be_somebody_to_share_among(topology: ModuleType) -> None:
    with pytest.raises(AnsibleFilterError, match="nobody"):
        topology.shares(1, 0)


@given(servers=names, loadgens=names, connections=st.integers(0, 200_000), rate=st.integers(0, 50_000))
def test_a_plan_gives_out_everything(
    topology: ModuleType, servers: list[str], loadgens: list[str], connections: int, rate: int
) -> None:
    plan = topology.load_plan({"servers": servers, "loadgens": loadgens}, connections, rate)

    assert sum(part["connections"] for part in plan["loadgens"].values()) == connections
    assert sum(part["rate_per_s"] for part in plan["loadgens"].values()) == rate
    assert sum(plan["servers"].values()) >= connections
    for name, part in plan["loadgens"].items():
        assert part["targets"]
        assert set(part["targets"]) <= set(servers)
        assert name not in part["targets"] or servers == [name]


@given(
    hosts=st.lists(st.sampled_from("abcdef"), min_size=2, unique=True),
    connections=st.integers(0, 5_000),
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9)),
)
def test_each_server_expects_what_the_generators_bring_it(
    topology: ModuleType, hosts: list[str], connections: int, weights: dict[str, int]
) -> None:
    plan = topology.load_plan({"servers": hosts, "loadgens": hosts}, connections, 0, weights=weights)

    brought: Counter[str] = Counter()
    for part in plan["loadgens"].values():
        targets = [
            Target(name=name, address="127.0.0.1", port=1, weight=weights.get(name, 1)) for name in part["targets"]
        ]
        own = part["connections"]
        plan_of = Plan(schema_version=1, run_id="r", host="h", targets=targets, connections=own, rate_per_s=0)
        [whole] = assignments(plan_of, 1, "", 0)
        brought.update(destination(whole, number).name for number in range(own))
    for name in hosts:
        # The last round of each generator may not be a whole one.
        assert brought[name] <= plan["servers"][name] <= brought[name] + weights.get(name, 1) * len(hosts)


@given(loadgens=names, rates=st.lists(st.integers(0, 100_000), max_size=4))
def test_each_stage_is_shared_out(topology: ModuleType, loadgens: list[str], rates: list[int]) -> None:
    stages = [
        {"name": f"s{number}", "seconds": 5, "rate_per_s": rate, "judged": True} for number, rate in enumerate(rates)
    ]
    plan = topology.load_plan({"servers": ["node1"], "loadgens": loadgens}, 100, 0, 1, stages)

    for number, stage in enumerate(stages):
        parts = [part["stages"][number] for part in plan["loadgens"].values()]
        assert all(part.keys() == {"name", "seconds", "rate_per_s"} for part in parts)
        assert {part["name"] for part in parts} == {stage["name"]}
        assert sum(part["rate_per_s"] for part in parts) == stage["rate_per_s"]


@given(servers=names, loadgens=names, pairs=st.integers(0, 100_000))
def test_pairs_are_never_parted_and_each_server_has_its_publisher(
    topology: ModuleType, servers: list[str], loadgens: list[str], pairs: int
) -> None:
    plan = topology.load_plan({"servers": servers, "loadgens": loadgens}, 2 * pairs, 0, 2)

    assert sum(part["connections"] for part in plan["loadgens"].values()) == 2 * pairs
    assert all(part["connections"] % 2 == 0 for part in plan["loadgens"].values())
    reached = {server for part in plan["loadgens"].values() for server in part["targets"]}
    published = [server for part in plan["loadgens"].values() for server in part["publish_to"]]
    assert sorted(published) == sorted(reached)
    assert all(set(part["publish_to"]) <= set(part["targets"]) for part in plan["loadgens"].values())


def test_four_hosts_expect_a_quarter_each(topology: ModuleType) -> None:
    hosts = [f"node{number}" for number in range(1, 5)]
    plan = topology.load_plan({"servers": hosts, "loadgens": hosts}, 100_000, 10_000)

    assert plan["loadgens"]["node2"] == {
        "connections": 25_000,
        "rate_per_s": 2_500,
        "stages": [],
        "targets": ["node1", "node3", "node4"],
        "publish_to": ["node1"],
    }
    assert set(plan["servers"].values()) == {3 * 8_334}


@given(servers=names, count=st.integers(1, 12), hold_s=st.integers(37, 10_000))
def test_deaths_come_one_after_the_other_within_the_hold(
    topology: ModuleType, servers: list[str], count: int, hold_s: int
) -> None:
    deaths = topology.deaths(servers, hold_s, count)

    moments = [moment for death in deaths for moment in topology.moments(death)]
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < hold_s
    assert len({death["host"] for death in deaths}) == min(count, len(servers))
    assert len(deaths) == count


def test_three_deaths_take_a_tenth_of_the_hold_each(topology: ModuleType) -> None:
    hosts = [f"node{number}" for number in range(1, 5)]
    assert topology.deaths(hosts, 300) == [
        {"at_s": 30, "kind": "silent_death", "host": "node2", "heal_after_s": 30},
        {"at_s": 120, "kind": "death", "host": "node3", "heal_after_s": 30},
        {"at_s": 210, "kind": "silent_death", "host": "node4", "heal_after_s": 30},
    ]
    assert topology.deaths(hosts, 300, 0) == []


def test_a_peer_is_written_as_a_program_reads_it(topology: ModuleType) -> None:
    assert topology.host_and_port({"address": "192.0.2.1", "port": 7010}) == "192.0.2.1:7010"
    assert topology.host_and_port({"address": "2001:db8::1", "port": 7010}) == "[2001:db8::1]:7010"


HOSTVARS = {
    "both": {"ansible_host": "192.0.2.1", "c100k_address": "198.51.100.1"},
    "one": {"ansible_host": "192.0.2.2"},
    "none": {},
}


def test_peers_use_the_address_for_peers_and_the_controller_its_own(topology: ModuleType) -> None:
    assert topology.peers(HOSTVARS, HOSTVARS, "7000") == [
        {"name": "both", "address": "198.51.100.1", "port": 7000},
        {"name": "one", "address": "192.0.2.2", "port": 7000},
        {"name": "none", "address": "none", "port": 7000},
    ]
    assert topology.endpoints(["both"], HOSTVARS, "7002", "/status") == [
        {"name": "both", "url": "http://192.0.2.1:7002/status"}
    ]

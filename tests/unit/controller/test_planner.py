"""The planner: what it plans fits, by the arithmetic of capacity, and what cannot be is refused with its numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c100k import capacity, cli
from c100k.planner import HTTP, TCP, Cost, Host, PlanningError, plan

LAB = Host(cores=2, memory_bytes=24 * 2**30, nofile=20_000)
BIG = Host(cores=64, memory_bytes=256 * 2**30, nofile=1_048_576)


@given(
    connections=st.integers(1, 100_000_000),
    per_connection=st.floats(0, 1),
    cores=st.integers(1, 128),
    memory_gib=st.floats(0.5, 1024),
    nofile=st.integers(1024, 1_048_576),
    cost=st.sampled_from([TCP, HTTP]),
)
def test_what_is_planned_fits(
    connections: int, per_connection: float, cores: int, memory_gib: float, nofile: int, cost: Cost
) -> None:
    host = Host(cores, int(memory_gib * 2**30), nofile)
    planned = plan(connections, connections * per_connection, host, cost)
    for role in (planned.servers, planned.generators):
        assert role.hosts * role.share >= connections
        assert role.workers * (nofile - capacity.RESERVED_FILES) >= role.share
        assert role.workers <= cores * capacity.MAX_WORKERS_PER_CORE
        assert role.memory_bytes <= host.memory_bytes * 0.8
        assert role.cpu_share <= 0.7
        assert int(planned.sysctls["fs.nr_open"]) >= nofile
        assert int(planned.sysctls["fs.file-max"]) >= role.share
    pairs = (planned.aliases + 1) * planned.servers.hosts
    assert pairs * 55_536 >= planned.generators.share
    assert planned.aliases == 0 or planned.aliases * planned.servers.hosts * 55_536 < planned.generators.share


def test_a_million_connections() -> None:
    planned = plan(1_000_000, 100_000, BIG)
    assert (planned.servers.hosts, planned.generators.hosts) == (1, 1)
    assert planned.aliases + 1 == math.ceil(1_000_000 / 55_536) == 19
    assert planned.servers.cpu_share == pytest.approx(100_000 * TCP.server_us / 1e6 / 64)
    # One host more of either kind is never needed: it refuses with one host fewer.
    with pytest.raises(PlanningError):
        plan(100_000_000, 1_000_000, BIG, servers=plan(100_000_000, 1_000_000, BIG).servers.hosts - 1)


@pytest.mark.parametrize(
    ("connections", "rate", "host", "hosts", "sentence"),
    [
        (200_000_000, 0, BIG, None, "200,000,000 connections: plans go from 1 to 100,000,000."),
        (0, 0, BIG, None, "0 connections: plans go from 1 to 100,000,000."),
        (
            100_000_000,
            0,
            BIG,
            1,
            "100,000,000 connections on each of 1 server hosts: at 5 KiB, and 96 processes at 40 MiB, they need 480.6 "
            "GiB, but 80% of 256.0 GiB are 204.8; add hosts or memory.",
        ),
        (
            4_000_000,
            0,
            LAB,
            1,
            "4,000,000 connections on each of 1 server hosts: at 20,000 files a process less 100 they need 202 "
            "processes, more than 64 on each of 2 cores; raise the file limit or add hosts.",
        ),
        (
            100_000,
            50_000,
            LAB,
            1,
            "50,000 messages a second on each of 1 server hosts at 66 us take 165% of 2 cores, more than 70%; add "
            "hosts or lower the rate.",
        ),
        (10, 0, Host(1, 2**30, 64), None, "A process may open 64 files, but needs 100 for itself."),
        (10, 0, Host(1, 2**24, 1024), None, "0.02 GiB a host do not hold even one process."),
    ],
)
def test_what_cannot_be_is_refused_with_the_arithmetic(
    connections: int, rate: float, host: Host, hosts: int | None, sentence: str
) -> None:
    with pytest.raises(PlanningError) as refusal:
        plan(connections, rate, host, TCP, servers=hosts)
    assert sentence in refusal.value.problems


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--connections", "1000000"]) == 0
    printed = capsys.readouterr().out
    assert "1,000,000 connections, 100,000 messages a second" in printed
    assert "net.ipv4.ip_local_port_range = 10000 65535" in printed
    assert "19 on each generator (18 aliases)" in printed
    assert cli.main(["plan", "--connections", "100000000", "--servers", "2"]) == 2
    assert "they need 240.3 GiB, but 80% of 64.0 GiB are 51.2" in capsys.readouterr().err


def test_the_cost_of_a_run_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--connections", "1000", "--run", "no-such-run"]) == 2
    assert "There is no run 'no-such-run'" in capsys.readouterr().err

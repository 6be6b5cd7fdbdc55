from __future__ import annotations

from typing import Any

from c100k import capacity


def host(name: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "nofile": 20_000, "cores": 2, "memory_available_bytes": 20 * 2**30, **facts}


HOSTS = [host(f"node{number}", boot_id="same kernel") for number in range(1, 5)]


def test_the_mission_fits_four_hosts_of_one_machine() -> None:
    assert capacity.problems(100_000, HOSTS, HOSTS) == []


def test_one_source_address_has_only_so_many_ports() -> None:
    problems = capacity.problems(100_000, [host("server")], [host("generator")])
    assert len(problems) == 1
    assert "100,000 connections to 1 servers" in problems[0]
    assert "only 55,536 ports" in problems[0]


def test_hosts_that_share_a_kernel_share_its_memory() -> None:
    small = [host(f"node{number}", boot_id="same", memory_available_bytes=2**29) for number in range(4)]
    assert "need 1.0 GiB, but 0.5 GiB are available" in capacity.problems(100_000, small, small)[0]
    own = [{**facts, "boot_id": name} for name, facts in zip("abcd", small, strict=True)]
    assert capacity.problems(100_000, own, own) == []


def test_a_tiny_file_limit_is_refused_with_the_arithmetic() -> None:
    tiny = [{**facts, "nofile": 200} for facts in HOSTS]
    problems = capacity.problems(100_000, tiny, HOSTS)
    assert problems[0].startswith("node1: 25,000 connections over 200 - 100 files a process need 250 server processes")
    assert len(problems) == 4


def test_empty_groups_and_silly_counts_are_refused() -> None:
    assert "`servers`" in capacity.problems(10, [], HOSTS)[0]
    assert "`loadgens`" in capacity.problems(10, HOSTS, [])[0]
    assert "at least 1" in capacity.problems(0, HOSTS, HOSTS)[0]

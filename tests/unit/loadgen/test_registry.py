"""Names of sessions: three real servers on a real Redis Cluster, and servers that get names wrong on purpose."""

from __future__ import annotations

import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from redis_cluster import RedisCluster
    from session_node import Node
    from tests.unit.loadgen.conftest import Run

SESSIONS, CONTESTED = 120, 5
SHARES = {"local": 0.3, "remote": 0.4, "updates": 0.1, "cycles": 0.1}
KINDS = ("find_local", "find_remote", "update", "cycle")


@pytest.fixture
def start(redis: RedisCluster, nodes: list[Node], start_run: Callable[..., Run]) -> Callable[..., Run]:
    """Start a run over all nodes, with no names of a run before."""
    for index in range(len(redis.servers)):
        if redis.command(index, "ROLE")[0] == b"master":
            redis.command(index, "FLUSHALL")

    def start_named(**plan: Any) -> Run:
        given = {
            "targets": [node.target for node in nodes],
            "connections": SESSIONS,
            "rate_per_s": 400,
            "resume": True,
            "resume_spread_s": 0.5,
            "registry": {**SHARES, "contested": CONTESTED},
            "hold_s": 5,
            "timeout_s": 5,
            "workers": 2,
        }
        return start_run(**{**given, **plan})

    return start_named


def wrong_answers(run: Run) -> Counter[str]:
    """What went wrong with messages that were sent: the first ones may find nobody connected on a busy machine."""
    causes = run.causes("message_error")
    del causes["not_connected"]
    return causes


def samples(run: Run) -> dict[str, int]:
    return {tag: run.histogram(tag).get_total_count() for tag in ("register", *KINDS, "response", "stale")}


def check_names(run: Run) -> None:
    """Each session's name leads to it, with the last value that it registered."""
    rows = run.rows("names")
    assert sorted(row["name"] for row in rows) == sorted(f"node1/{number}" for number in range(SESSIONS))
    for row in rows:
        assert (row["outcome"], row["found_node"], row["target"]) == ("found", row["node"], row["node"]), row
        assert row["found_value"] == f"{row['name']}#{row['acked']}", row
        assert row["acked"] == row["version"], row


def check_contest(run: Run, contenders: int) -> None:
    """Each name was won once, and all found the winner."""
    by_name: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in run.rows("contest"):
        by_name[row["name"]].append(row)
    assert len(by_name) == CONTESTED
    for rows in by_name.values():
        assert Counter(row["outcome"] for row in rows) == {"won": 1, "taken": contenders - 1}
        (winner,) = (row["session"] for row in rows if row["outcome"] == "won")
        assert {row["found"] for row in rows} == {winner}


def test_names_are_registered_looked_up_changed_and_verified(start: Callable[..., Run], redis: RedisCluster) -> None:
    run = start().finish()
    assert run.exit_code == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert wrong_answers(run) == {}
    assert run.rows("mistakes") == []
    found = samples(run)
    assert found["register"] == SESSIONS
    kinds = sum(found[kind] for kind in KINDS)
    for kind, share in zip(KINDS, SHARES.values(), strict=True):
        assert found[kind] == pytest.approx(found["response"] * share, rel=0.5)
    assert kinds < found["response"] == run.total("answered") == run.total("sent")
    check_names(run)
    check_contest(run, contenders=2 * 3)
    updates = sum(int(row["version"]) - 1 for row in run.rows("names"))
    assert updates == found["update"] + found["cycle"]
    # Redis says the same.
    for row in run.rows("names"):
        key = f"c100k:r:{row['name']}"
        node, record = redis.command(redis.master_of(key), "HMGET", key, "n", "r")
        assert (node.decode(), record) == (row["node"], b'["%b",null]' % row["found_value"].encode())


def test_names_go_where_their_sessions_go(nodes: list[Node], start: Callable[..., Run]) -> None:
    run = start(hold_s=8)
    run.wait_until("hold")
    time.sleep(1)
    nodes[1].signal(signal.SIGKILL)
    assert run.finish().exit_code == 0, run.stderr
    assert {row["outcome"] for row in run.rows("resumptions")} == {"resumed"}
    assert len(run.rows("resumptions")) == SESSIONS // 3
    assert wrong_answers(run) == {}
    check_names(run)
    assert {row["target"] for row in run.rows("names")} == {"a", "c"}
    check_contest(run, contenders=2 * 2)


# One server, so nothing is remote; and changes are seldom, so that what was before them becomes wrong in between.
ONE: dict[str, Any] = {
    "resume": True,
    "rate_per_s": 200,
    "registry": {"local": 0.5, "remote": 0, "updates": 0.03, "cycles": 0.03, "stale_s": 0.6, "contested": 2},
}


def check_kinds(run: Run) -> dict[str, int]:
    """The run ended by itself, and all that went right is there by its kind."""
    assert run.exit_code == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert len(run.rows("names")) == 20
    assert run.total("sent") == run.total("answered") + wrong_answers(run).total()
    found = samples(run)
    assert found["find_remote"] == 0
    assert min(found["find_local"], found["update"], found["cycle"]) > 0
    return found


@pytest.mark.scenario("resumable good", **ONE)
def test_a_registry_that_is_right(run: Run) -> None:
    found = check_kinds(run)
    assert wrong_answers(run) == {}
    assert found["stale"] == 0
    assert run.server["c100k/registry/unregister"] == found["cycle"]
    assert run.server["c100k/registry/register"] == 20 + found["update"] + found["cycle"] + 2
    assert run.server["c100k/registry/find"] == found["find_local"] + 20 + 2
    assert {row["outcome"] for row in run.rows("contest")} == {"won"}


@pytest.mark.scenario("resumable loses_names", **ONE)
def test_names_that_are_lost_are_told(run: Run) -> None:
    check_kinds(run)
    missing = sum(row["outcome"] == "missing" for row in run.rows("names"))
    unseen = sum(row["found"] == "" for row in run.rows("contest"))
    lost = wrong_answers(run)
    assert lost.keys() == {"lost_find_local"}
    # Those of names that were on their way to be registered again may be missing.
    assert 0 < lost["lost_find_local"] <= run.server["went_wrong"] - missing - unseen
    assert {row["what"] for row in run.rows("mistakes")} == {"lost"}
    assert len(run.rows("mistakes")) == lost["lost_find_local"]
    assert missing > 0


@pytest.mark.scenario("resumable mixes_up_names", **ONE)
def test_names_that_lead_elsewhere_are_told(run: Run) -> None:
    check_kinds(run)
    mixed_up = [row for row in run.rows("names") if row["found_value"].partition("#")[0] != row["name"]]
    wrong = wrong_answers(run)
    assert wrong.keys() == {"wrong_find_local"}
    assert 0 < wrong["wrong_find_local"] == len(run.rows("mistakes"))
    assert len(mixed_up) > 0
    assert wrong["wrong_find_local"] + len(mixed_up) <= run.server["went_wrong"]


@pytest.mark.scenario("resumable tells_old_values", **ONE)
def test_values_that_are_never_told_are_wrong(run: Run) -> None:
    found = check_kinds(run)
    assert wrong_answers(run).keys() == {"wrong_find_local"}
    assert found["stale"] > 0, "for a while they may be old"
    assert run.histogram("stale").get_max_value() <= 600_000 * 1.01
    assert any(row["found_value"] != f"{row['name']}#{row['version']}" for row in run.rows("names"))


@pytest.mark.scenario("resumable tells_changes_late", **ONE)
def test_values_that_come_late_are_counted(run: Run) -> None:
    found = check_kinds(run)
    assert wrong_answers(run) == {}
    assert found["stale"] > 0
    assert run.histogram("stale").get_max_value() <= 400_000 * 1.01


@pytest.mark.scenario("resumable gives_names_twice", **{**ONE, "workers": 2})
def test_a_name_with_two_owners_is_found_out(run: Run) -> None:
    check_kinds(run)
    assert len(run.rows("contest")) == 4
    assert {row["outcome"] for row in run.rows("contest")} == {"won"}
    assert len({row["session"] for row in run.rows("contest")}) == 2


@pytest.mark.scenario("resumable has_given_all_names", **ONE)
def test_sessions_without_their_name_are_not_open(run: Run) -> None:
    assert run.exit_code == 0, run.stderr
    assert run.causes("connect_error").keys() == {"name_taken"}
    assert run.total("opened") == 1, "the probe needs no name"
    assert run.rows("names") == run.rows("contest") == []

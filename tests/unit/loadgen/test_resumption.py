"""Sessions that go on elsewhere: three real servers on a real Redis Cluster, of which one dies in the hold."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from c100k import operations
from c100k.run_directory import RunDirectory

if TYPE_CHECKING:
    from redis_cluster import RedisCluster
    from tests.unit.loadgen.conftest import Run

SESSIONS, RATE = 200, 400
DEADLINE_S = 20


class Node:
    """`c100k-server serve` with one worker, whose sessions are in Redis."""

    def __init__(self, name: str, redis: str) -> None:
        self.name = name
        addresses = ("--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        state = ("--state", "redis", "--redis", redis, "--node", name)
        self.process = subprocess.Popen(
            [*(sys.executable, "-m", "c100k_server", "serve"), *addresses, *state, "--workers", "1"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.workers: list[int] = []
        for line in self.process.stderr:
            event = json.loads(line)
            if event["event"] == "worker_started":
                self.workers.append(event["pid"])
            if event["event"] == "listening":
                self.port = int(event["tcp"].rpartition(":")[2])
            if hasattr(self, "port") and self.workers:
                break

    @property
    def target(self) -> dict[str, Any]:
        return {"name": self.name, "address": "127.0.0.1", "port": self.port}

    def signal(self, number: signal.Signals) -> None:
        """To all its processes, so that nobody says goodbye."""
        for pid in (self.process.pid, *self.workers):
            os.kill(pid, number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def nodes(redis: RedisCluster) -> Iterator[list[Node]]:
    started = [Node(name, redis.seeds) for name in ("a", "b", "c")]
    yield started
    for node in started:
        node.stop()


@pytest.fixture
def start(nodes: list[Node], start_run: Callable[..., Run]) -> Callable[..., Run]:
    """Start a run over all nodes."""

    def start_resuming(**plan: Any) -> Run:
        given = {
            "targets": [node.target for node in nodes],
            "connections": SESSIONS,
            "rate_per_s": RATE,
            "resume": True,
            "resume_spread_s": 0.5,
            "increments": 0.5,
            "hold_s": 6,
            "timeout_s": 5,
            "workers": 2,
        }
        return start_run(**{**given, **plan})

    return start_resuming


def in_hold(run: Run, seconds: float = 1.0) -> None:
    run.wait_until("hold")
    time.sleep(seconds)


def check(run: Run, lost: str, cause: set[str]) -> list[dict[str, str]]:
    """Every session of the node that was lost is back elsewhere, nobody else was away, and no write is lost or doubled.
    Returns the resumptions."""
    assert run.finish().exit_code == 0, run.stderr
    assert "Traceback" not in run.stderr
    rows = run.rows("resumptions")
    affected = [number for number in range(SESSIONS) if "abc"[number % 3] == lost]
    assert sorted(int(row["session"]) for row in rows) == affected
    assert {row["outcome"] for row in rows} == {"resumed"}
    assert {row["cause"] for row in rows} <= cause
    assert {row["from"] for row in rows} == {lost}
    assert {row["to"] for row in rows} == set("abc") - {lost}
    assert all(float(row["lost_at"]) < float(row["resumed_at"]) for row in rows)
    assert run.total("resumed") == len(affected)
    assert run.seconds()[-1]["away"] == "0"
    assert max(int(row["away"]) for row in run.seconds("hold")) <= len(affected)
    # Nothing was given up: what was unanswered was asked again, and counts from when it was meant to be sent.
    assert run.causes("message_error") == {}
    assert run.total("intended") == run.total("sent") == run.total("answered") > 0
    assert run.histogram("response").get_total_count() == run.total("answered")
    assert 0 < run.histogram("recovery").get_total_count() < run.total("answered")
    counters = run.rows("counters")
    assert sorted(int(row["session"]) for row in counters) == list(range(SESSIONS))
    return rows


def check_operations(run: Run) -> operations.Operations:
    (run.output.parent / "hosts").mkdir()
    (run.output.parent / "hosts/node1").symlink_to(run.output)
    found = operations.check(RunDirectory(run.output.parent))
    assert found is not None
    assert (found.lost, found.duplicated, found.reordered, found.unread) == (0, 0, 0, 0), found.violations
    assert found.sessions == SESSIONS
    assert found.acknowledged == found.operations > SESSIONS
    return found


def test_a_node_that_is_killed(nodes: list[Node], start: Callable[..., Run]) -> None:
    run = start()
    in_hold(run)
    nodes[1].signal(signal.SIGKILL)
    status = run.wait_for(lambda status: status["resumed"] > 0)
    assert status["away"] + status["resumed"] <= SESSIONS // 3 + 1
    check(run, "b", {"eof", "reset"})
    check_operations(run)
    # The dead one's probe is missing at the end, and those of the others never were.
    assert run.total("opened") == SESSIONS + 2 * 3 + len(run.rows("resumptions"))


def test_a_node_that_falls_silent_and_comes_back(nodes: list[Node], start: Callable[..., Run]) -> None:
    run = start()
    in_hold(run)
    nodes[2].signal(signal.SIGSTOP)
    run.wait_for(lambda status: status["resumed"] == SESSIONS // 3)
    nodes[2].signal(signal.SIGCONT)
    check(run, "c", {"target_dead"})
    found = check_operations(run)
    assert found.unknown > 0, "what the silent node was asked for stayed open, and was asked again"

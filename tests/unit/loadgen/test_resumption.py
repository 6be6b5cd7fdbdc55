"""Sessions that go on elsewhere: three real servers on a real Redis Cluster, of which one dies in the hold."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from session_node import Node

from c100k import operations
from c100k.run_directory import RunDirectory

if TYPE_CHECKING:
    from pathlib import Path

    from redis_cluster import RedisCluster
    from tests.unit.loadgen.conftest import Run

SESSIONS, RATE = 200, 400
DEADLINE_S = 20


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


def wrong_answers(run: Run) -> Counter[str]:
    """What went wrong with messages that were sent: the first ones may find nobody connected on a busy machine."""
    causes = run.causes("message_error")
    del causes["not_connected"]
    return causes


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
    assert wrong_answers(run) == {}
    assert run.total("sent") == run.total("answered") > 0
    assert run.histogram("response").get_total_count() == run.total("answered")
    assert 0 < run.histogram("recovery").get_total_count() < run.total("answered")
    counters = run.rows("counters")
    assert sorted(int(row["session"]) for row in counters) == list(range(SESSIONS))
    return rows


def found_operations(run: Run) -> operations.Operations:
    host = run.output.parent / "hosts/node1"
    host.parent.mkdir(exist_ok=True)
    if not host.exists():
        host.symlink_to(run.output)
    found = operations.check(RunDirectory(run.output.parent))
    assert found is not None
    return found


def check_operations(run: Run) -> operations.Operations:
    found = found_operations(run)
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


def test_sessions_stay_where_they_are_when_the_state_is_nowhere(
    nodes: list[Node], redis: RedisCluster, start: Callable[..., Run]
) -> None:
    run = start(hold_s=16, timeout_s=3, verify_s=20)
    in_hold(run)
    for index in range(len(redis.servers)):
        redis.pause(index)
    # Longer than all nodes take to say so, and than a client waits for another one to be better.
    in_hold(run, 7)
    for index in range(len(redis.servers)):
        redis.resume(index)
    assert run.finish().exit_code == 0, run.stderr
    assert run.rows("resumptions") == []
    assert run.causes("close").keys() == {"stop"}
    # Only what needed state was given up, and all of it had been refused.
    assert wrong_answers(run).keys() == {"state_unavailable"}
    assert run.total("sent") == run.total("answered") + wrong_answers(run).total()
    found = found_operations(run)
    assert found.refused > SESSIONS
    assert (found.lost, found.duplicated, found.reordered, found.unread) == (0, 0, 0, 0), found.violations
    rows = [row for row in run.rows("operations") if row["outcome"] == "refused"]
    assert {row["target"] for row in rows} == set("abc")
    assert run.histogram("response", "hold").get_max_value() < 3.5e6


def test_a_node_that_returns_gets_its_share_again(nodes: list[Node], start: Callable[..., Run]) -> None:
    run = start(rebalance_per_s=100, hold_s=9)
    in_hold(run)
    nodes[2].signal(signal.SIGSTOP)
    run.wait_for(lambda status: status["resumed"] == SESSIONS // 3)
    nodes[2].signal(signal.SIGCONT)
    check(run, "c", {"target_dead"})
    check_operations(run)
    moved = run.causes("close")["rebalance"]
    assert SESSIONS // 3 * 0.8 < moved <= SESSIONS // 3 + 2
    assert run.causes("close").keys() <= {"stop", "target_dead", "rebalance", "eof"}
    back = by_target(run)
    assert min(back.values()) > SESSIONS // 3 * 0.8, back


def test_moves_that_are_under_way_when_the_hold_ends_go_on(
    nodes: list[Node], redis: RedisCluster, start: Callable[..., Run]
) -> None:
    begin_at, hold_s = int(time.time()) + 3, 10
    end_at = begin_at + 3 + hold_s
    # Without messages, so that counters are read as soon as the hold ends.
    run = start(start_at=begin_at, hold_s=hold_s, rate_per_s=0, rebalance_per_s=10, verify_s=10)
    in_hold(run)
    nodes[2].signal(signal.SIGSTOP)
    run.wait_for(lambda status: status["resumed"] == SESSIONS // 3)
    nodes[2].signal(signal.SIGCONT)
    time.sleep(max(0, end_at - 0.7 - time.time()))
    # Who moves now is taken when the counters are being read already, and it is not the server's doing.
    for index in range(len(redis.servers)):
        redis.pause(index)
    time.sleep(max(0, end_at + 0.5 - time.time()))
    for index in range(len(redis.servers)):
        redis.resume(index)
    assert run.finish().exit_code == 0, run.stderr
    assert run.causes("close", "verify")["rebalance"] > 0
    assert run.causes("close").keys() <= {"stop", "target_dead", "rebalance", "eof"}
    assert sorted(int(row["session"]) for row in run.rows("counters")) == list(range(SESSIONS))


def test_a_node_without_state_is_hardly_asked_until_it_has_it_again(
    nodes: list[Node], redis: RedisCluster, start: Callable[..., Run], tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("secret")
    of_c = ("on", ">secret", "~*", "&*", "+@all")
    redis.command_all("ACL", "SETUSER", "c", *of_c)
    nodes[2].stop()
    nodes[2] = Node("c", redis.seeds, "--redis-user", "c", "--redis-password-file", str(password))
    run = start(rebalance_per_s=200, hold_s=16)
    in_hold(run)
    redis.command_all("ACL", "DELUSER", "c")
    run.wait_for(lambda status: status["resumed"] == SESSIONS // 3)
    time.sleep(4)
    redis.command_all("ACL", "SETUSER", "c", *of_c)
    check(run, "c", {"unavailable"})
    # At the pace of moves it is a thousand.
    assert 0 < run.causes("connect_error")["state_unavailable"] < 100
    back = by_target(run)
    assert min(back.values()) > SESSIONS // 3 * 0.8, back


def by_target(run: Run) -> Counter[str]:
    """How many connections were closed at the end, by target."""
    counts: Counter[str] = Counter()
    for row in run.rows("causes"):
        if (row["kind"], row["cause"]) == ("close", "stop"):
            counts[row["target"]] += int(row["count"])
    return counts


RESUME: dict[str, Any] = {"resume": True, "resume_spread_s": 0.2, "increments": 0.5, "verify_s": 5}


def check_whole(run: Run) -> operations.Operations:
    """The run ended by itself, messages are accounted for, and each session has its row. Returns the operations."""
    assert run.exit_code == 0, run.stderr
    assert "Traceback" not in run.stderr
    assert run.total("closed") == run.causes("close").total() == run.total("opened")
    assert run.total("sent") == run.total("answered") + run.total("timeouts") + wrong_answers(run).total()
    assert run.total("sent") == run.total("intended") - run.causes("message_error")["not_connected"]
    assert run.total("connect_errors") == run.causes("connect_error").total()
    assert len(run.rows("counters")) == 20
    assert run.seconds()[-1]["phase"] == "verify"
    return found_operations(run)


def check_nothing_lost(run: Run, cause: str, probes_lost: int = 0) -> operations.Operations:
    """Sessions lost their connection for one cause only, all of them came back, and every message was answered."""
    found = check_whole(run)
    rows = run.rows("resumptions")
    assert {(row["cause"], row["outcome"], row["from"], row["to"]) for row in rows} == {
        (cause, "resumed", "node2", "node2")
    }
    assert run.total("resumed") == len(rows) > 5
    assert run.causes("close")[cause] == len(rows) + probes_lost
    assert wrong_answers(run) == {}
    assert (found.lost, found.duplicated, found.reordered, found.unread) == (0, 0, 0, 0), found.violations
    assert found.acknowledged == found.operations
    assert run.server["wrong_event_ids"] == 0, "each resumption says what was heard last"
    return found


@pytest.mark.scenario("resumable hangs_up", **RESUME)
def test_connections_that_end_are_made_again_in_the_hold_too(run: Run) -> None:
    found = check_nothing_lost(run, "eof")
    assert run.server["sessions"] == 20
    assert {row["missed"] for row in run.rows("resumptions")} == {"2"}
    assert found.unknown > 0
    assert found.attempts == found.acknowledged + found.unknown


@pytest.mark.scenario("resumable answers_nothing", **RESUME)
def test_what_was_done_without_an_answer_is_not_done_again(run: Run) -> None:
    found = check_nothing_lost(run, "eof")
    assert found.unknown > 0
    retried = [row for row in run.rows("operations") if row["attempt"] != "1"]
    assert len(retried) >= found.unknown > 0


@pytest.mark.scenario("resumable moves", **RESUME)
def test_a_session_that_has_moved_is_resumed(run: Run) -> None:
    found = check_nothing_lost(run, "moved")
    assert run.server["-32011"] == len(run.rows("resumptions"))
    assert found.errors > 0
    assert found.unknown == 0


@pytest.mark.scenario("resumable sends_away", **RESUME)
def test_a_server_that_sends_its_clients_away_is_kept_where_there_is_no_other(run: Run) -> None:
    found = check_whole(run)
    assert run.rows("resumptions") == []
    assert run.causes("close").keys() == {"stop"}
    assert found.acknowledged == found.operations > 0


@pytest.mark.scenario("resumable unavailable", **RESUME)
def test_a_server_that_cannot_use_its_state_is_asked_again(run: Run) -> None:
    found = check_nothing_lost(run, "eof")
    assert found.refused > 0
    refused = run.causes("connect_error")
    assert refused.keys() == {"state_unavailable"}
    assert refused["state_unavailable"] > 2
    assert max(int(row["attempts"]) for row in run.rows("resumptions")) > 1


@pytest.mark.scenario("resumable ignores_pings", **RESUME, probe={"every_s": 0.1, "silence_s": 1})
def test_a_target_that_is_heard_on_any_connection_lives(run: Run) -> None:
    found = check_whole(run)
    assert run.server["ping"] > 10
    assert run.rows("resumptions") == []
    assert found.acknowledged == found.operations


@pytest.mark.scenario("resumable falls_silent", **RESUME, timeout_s=10, probe={"every_s": 0.1, "silence_s": 0.5})
def test_a_target_that_is_heard_nowhere_is_dead(run: Run) -> None:
    check_nothing_lost(run, "target_dead", probes_lost=1)


@pytest.mark.scenario("resumable forgets", **RESUME)
def test_a_server_that_forgets_its_sessions_is_found_out(run: Run) -> None:
    found = check_whole(run)
    rows = run.rows("resumptions")
    assert [row["outcome"] for row in rows] == ["session_lost"] * 20
    assert run.total("resumed") == 0
    assert run.server["sessions"] == 40
    assert wrong_answers(run) == {}
    assert found.lost > 0
    assert found.duplicated == 0


@pytest.mark.scenario("resumable doubles", **RESUME)
def test_a_server_that_counts_twice_is_found_out(run: Run) -> None:
    found = check_whole(run)
    assert found.duplicated == sum(int(row["counter"]) - int(row["last_operation"]) for row in run.rows("counters"))
    assert found.duplicated > 0
    assert (found.lost, found.reordered) == (0, 0)


@pytest.mark.scenario("resumable cannot_read", **RESUME)
def test_counters_that_cannot_be_read_are_told(run: Run) -> None:
    found = check_whole(run)
    assert found.unread == 20
    assert {row["counter"] for row in run.rows("counters")} == {""}


@pytest.mark.scenario("resumable keeps_nothing", **RESUME)
def test_a_server_that_keeps_no_sessions_is_refused(run: Run) -> None:
    assert run.exit_code == 0, run.stderr
    assert run.causes("connect_error").keys() == {"not_resumable"}
    assert run.total("opened") == 1, "the probe needs no session"
    assert run.rows("counters") == run.rows("operations") == []


def test_a_run_that_is_stopped_reads_no_counters(start: Callable[..., Run]) -> None:
    run = start(hold_s=30)
    run.wait_until("hold")
    run.process.send_signal(signal.SIGTERM)
    assert run.finish().exit_code == 1
    assert run.generator["stop_reason"] == "signal"
    assert run.rows("operations")
    assert run.rows("counters") == []

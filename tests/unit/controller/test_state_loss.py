"""A run whose state goes down in the hold and comes back: what it is judged by, and what is made of the rest."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest

from c100k import cli, run_annotations
from c100k.run_directory import RunDirectory

from .conftest import HOLD, RawRun
from .test_outages import broken_rules, judge

#: The last death of an instance, the start of the first, and when all ran again and were one cluster.
BEGAN, HEALED, UP, HEALTHY = HOLD.start + 0.5, HOLD.start + 4.0, HOLD.start + 4.5, HOLD.start + 6.0
DOWN = range(HOLD.start + 1, HOLD.start + 4)
FAULT = {"at_s": 0, "kind": "state_down", "heal_after_s": 3}

RULES: list[dict[str, Any]] = [
    {"name": "error rate", "metric": "messages.error_rate", "op": "<", "limit": 0.0005},
    {"name": "unexplained closes", "metric": "connections.unexplained_closes", "op": "==", "limit": 0},
    {"name": "closed", "metric": "state_loss.closes", "op": "==", "limit": 0, "faults": ["state_down"]},
    {"name": "stateless", "metric": "stateless_ms.p95", "op": "<", "limit": 100, "faults": ["state_down"]},
    {"name": "acknowledged", "metric": "state_loss.acknowledged", "op": "==", "limit": 0, "faults": ["state_down"]},
    {"name": "usable (s)", "metric": "state_loss.back_s", "op": "<", "limit": 5, "faults": ["state_down"]},
    {"name": "recovery (s)", "metric": "recovery.reconnected_s.p999", "op": "<", "limit": 5, "faults": ["death"]},
    {"name": "writes lost", "metric": "writes.lost", "op": "==", "limit": 0},
]

#: Time, target, session, operation, attempt, outcome.
Attempt = tuple[float, str, int, int, int, int | str]
ATTEMPTS: list[Attempt] = [
    (BEGAN - 0.5, "node2", 5, 1, 1, 1),
    (BEGAN + 2.0, "node2", 5, 2, 1, "refused"),
    (BEGAN + 2.5, "node1", 6, 1, 1, "unknown"),
    (UP + 1.0, "node2", 5, 2, 2, "refused"),
    (UP + 2.0, "node1", 6, 1, 2, 1),
    (UP + 2.5, "node2", 5, 2, 3, 2),
]


@pytest.fixture
def down(raw_run: RawRun) -> RawRun:
    """Five of the 1000 messages of the hold need state while there is none; the others are echoes."""
    raw_run.scenario, raw_run.sla = "cluster", list(RULES)
    raw_run.settings["c100k_faults"] = [FAULT]
    host = raw_run.hosts[0]
    host.causes.append((HOLD.start + 3, "hold", "message_error", "node2", "state_unavailable", 5))
    host.response_us_at = {HOLD.start + 5: [4_000_000] * 50, HOLD.start + 9: [2000] * 45}
    return raw_run


def write(raw_run: RawRun, attempts: list[Attempt] = ATTEMPTS, counter: int = 2) -> RunDirectory:
    run = raw_run.write()
    with run.faults.open("w") as faults:
        for number, host in enumerate(("node1", "node2")):
            late = number * 0.1
            own = {"host": host, "name": "outage"}
            for note in (
                {"at": BEGAN - 0.1 + late, **own, "state": "injected", "kind": "state_down"},
                {"at": HEALED + late, **own, "state": "healed", "up_at": UP - 0.1 + late},
                {"at": HEALTHY, **own, "state": "healthy"},
            ):
                faults.write(json.dumps(note) + "\n")
    _csv(run, "operations", "t target session operation attempt outcome", attempts)
    _csv(run, "counters", "session acked last_operation counter", [(5, 2, 2, counter), (6, 1, 1, 1)])
    return run


def _csv(run: RunDirectory, name: str, columns: str, rows: list[Any]) -> None:
    with (run.host("node1") / f"node1-w0-{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns.split(), *rows])


def test_what_a_server_without_state_may_refuse_is_not_held_against_it(
    down: RawRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write(down)
    figures = judge(run)
    assert figures["verdict"] == "PASS", figures["reasons"]
    (loss,) = figures["state_loss"]
    assert loss["hosts"] == ["node1", "node2"]
    assert (loss["began_at"], loss["healed_at"], loss["up_at"]) == (BEGAN - 0.1, HEALED + 0.1, UP)
    assert (loss["closes"], loss["answered"], loss["failed"]) == (0, 100 * len(DOWN), 0)
    assert (loss["refused"], loss["unknown"], loss["acknowledged"]) == (2, 1, 0)
    assert loss["acknowledged_s"] == {"node1": 2.0, "node2": 2.5}
    assert (loss["refused_s"], loss["back_s"], loss["healthy_s"]) == (1.0, 2.5, 1.5)
    assert loss["rss_before_bytes"] == loss["rss_most_bytes"] == loss["rss_after_bytes"] == 2 * (2**24 + 2**23)
    messages = figures["messages"]
    assert (messages["intended"], messages["answered"], messages["refused"]) == (1000, 995, 5)
    assert (messages["errors"], messages["unanswered"], messages["error_rate"]) == (0, 0, 0)
    assert figures["writes"]["refused"] == 2
    # Those that waited for the state were answered when it was back, and not while it was down.
    assert figures["stateless_ms"]["samples"] == 100 * len(DOWN)
    assert figures["stateless_ms"]["max"] < 3
    assert figures["latency_ms"]["max"] < 3
    assert figures["connections"]["recovery_s"] == 6
    assert figures["recovery"] == []
    assert "recovery (s)" not in [rule["name"] for rule in figures["rules"]]
    assert cli.main(["report", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "on 2 hosts for 4.1 s: 0 connections closed; 300 messages answered, 0 failed" in shown
    assert "2 attempts refused, 1 unknown, 0 acknowledged; all are again 2.5 s after it ran again" in shown
    page = run.page.read_text()
    assert "state down on 2 hosts" in page
    assert "No fault was injected" not in page
    assert "state down on 2 hosts: 0 connections closed" in run.markdown.read_text()


def test_it_is_one_fault_on_all_of_its_hosts(down: RawRun) -> None:
    run = write(down)
    judge(run)
    (found,) = [each for each in run_annotations.of_run(run) if "fault" in each.tags]
    assert found.text == "state down of node1, node2, whole again after 5.6 s"
    assert {"host:node1", "host:node2"} <= found.tags


def test_a_close_meanwhile_is_unexplained(down: RawRun) -> None:
    down.hosts[0].causes.append((HOLD.start + 2, "hold", "close", "node2", "unavailable", 3))
    figures = judge(write(down))
    assert figures["state_loss"][0]["closes"] == 3
    assert figures["connections"]["unexplained_closes"] == 3
    assert {"closed", "unexplained closes"} <= set(broken_rules(figures))


def test_an_acknowledgement_without_state_is_false(down: RawRun) -> None:
    figures = judge(write(down, [*ATTEMPTS, (BEGAN + 2.7, "node1", 7, 1, 1, 1)]))
    assert figures["state_loss"][0]["acknowledged"] == 1
    assert "acknowledged" in broken_rules(figures)


def test_slow_answers_to_what_needs_no_state_count(down: RawRun) -> None:
    down.hosts[0].response_us_at[DOWN.start] = [500_000] * 50
    assert "stateless" in broken_rules(judge(write(down)))


def test_messages_that_fail_otherwise_count(down: RawRun) -> None:
    down.hosts[0].causes.append((DOWN.start + 1, "hold", "message_error", "node2", "rpc_error", 4))
    down.hosts[0].response_us_at[DOWN.start + 1] = [2000] * 46
    figures = judge(write(down))
    assert figures["state_loss"][0]["failed"] == 4
    assert (figures["messages"]["errors"], figures["messages"]["refused"]) == (4, 5)
    assert "error rate" in broken_rules(figures)


def test_a_failure_in_the_second_in_which_it_returns_is_not_of_the_time_without(down: RawRun) -> None:
    down.hosts[0].causes.append((DOWN.stop, "hold", "message_error", "node2", "rpc_error", 4))
    assert judge(write(down))["state_loss"][0]["failed"] == 0


def test_refusals_after_the_time_that_a_return_may_take_are_errors(down: RawRun) -> None:
    down.hosts[0].causes[-1] = (HOLD.stop - 1, "hold", "message_error", "node2", "state_unavailable", 5)
    figures = judge(write(down))
    assert (figures["messages"]["errors"], figures["messages"]["refused"]) == (0, 5)
    late = HOLD.stop + 1
    down.root = down.root.parent / "again"
    down.hosts[0].causes[-1] = (late, "hold", "message_error", "node2", "state_unavailable", 5)
    figures = judge(write(down))
    assert (figures["messages"]["errors"], figures["messages"]["refused"]) == (5, 0)
    assert "error rate" in broken_rules(figures)


def test_a_server_that_never_acknowledges_again_is_not_back(down: RawRun) -> None:
    figures = judge(write(down, [each for each in ATTEMPTS if each[0] < UP or each[1] == "node1"], counter=1))
    assert figures["state_loss"][0]["acknowledged_s"]["node2"] is None
    assert figures["state_loss"][0]["back_s"] is None
    assert "usable (s)" in broken_rules(figures)


def test_what_a_later_fault_has_refused_is_not_of_this_one(down: RawRun) -> None:
    run = write(down, [*ATTEMPTS, (UP + 4.5, "node2", 5, 3, 1, "refused")])
    own = {"host": "node2", "name": "outage", "state": "injected", "kind": "partition"}
    with run.faults.open("a") as faults:
        faults.write(json.dumps({"at": UP + 4.0, **own}) + "\n")
    figures = judge(run)
    assert (figures["state_loss"][0]["refused"], figures["state_loss"][0]["back_s"]) == (2, 2.5)


def test_what_sessions_that_go_back_leave_open_is_not_refused(down: RawRun) -> None:
    moved = [(UP + 20.0, "node2", 5, 3, 1, "unknown"), (UP + 20.5, "node1", 6, 2, 1, "error")]
    figures = judge(write(down, [*ATTEMPTS, *moved]))
    assert (figures["state_loss"][0]["refused_s"], figures["state_loss"][0]["back_s"]) == (1.0, 2.5)


def test_a_write_that_went_down_with_the_state_is_lost(down: RawRun) -> None:
    figures = judge(write(down, counter=1))
    assert figures["writes"]["lost"] == 1
    assert "writes lost" in broken_rules(figures)


def test_a_state_that_did_not_return_is_judged_all_the_same(down: RawRun) -> None:
    run = write(down)
    lines = run.faults.read_text().splitlines(keepends=True)
    run.faults.write_text("".join(line for line in lines if '"injected"' in line))
    figures = judge(run)
    (loss,) = figures["state_loss"]
    assert (loss["up_at"], loss["back_s"], loss["healthy_s"], loss["answered"]) == (None, None, None, 0)
    assert figures["connections"]["recovery_s"] == 0
    assert figures["messages"]["refused"] == 5
    assert {"usable (s)", "stateless"} <= set(broken_rules(figures))

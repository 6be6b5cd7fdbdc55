"""A host that dies in the hold and returns: what the run is judged by, and what is made of the rest."""

from __future__ import annotations

import csv
import json
from typing import Any

import jsonschema
import msgspec
import pytest

from c100k import cli, outages, report, summary
from c100k.record import Run
from c100k.recovery import Spread
from c100k.run_directory import RunDirectory
from c100k.samples import read_host

from .conftest import HOLD, RawRun
from .test_verdict import SCHEMA

#: The death, the return, and when the host was whole again. Sessions have five seconds to go on elsewhere.
DIED, HEALED, HEALTHY = HOLD.start + 1, HOLD.start + 6, HOLD.start + 7.5
RECOVERY = range(DIED, DIED + 5)

RULES: list[dict[str, Any]] = [
    {"name": "p95", "metric": "latency_ms.p95", "op": "<", "limit": 100},
    {"name": "missing", "metric": "connections.missing_max", "op": "==", "limit": 0},
    {"name": "unexplained closes", "metric": "connections.unexplained_closes", "op": "==", "limit": 0},
    {"name": "recovery (s)", "metric": "recovery.reconnected_s.p999", "op": "<", "limit": 5},
    {"name": "sessions away", "metric": "recovery.sessions_away", "op": "==", "limit": 0},
    {"name": "writes lost", "metric": "writes.lost", "op": "==", "limit": 0},
    {"name": "nodes", "metric": "cluster.nodes_ready", "op": "==", "limit": "cluster.nodes"},
    {"name": "routes", "metric": "cluster.routes_failed", "op": "==", "limit": 0},
]


@pytest.fixture
def broken(raw_run: RawRun) -> RawRun:
    """node2 dies; the sessions that node1 had there are on node1's own server two seconds later, and stay there."""
    survivor, victim = raw_run.hosts
    raw_run.scenario, raw_run.sla = "cluster", list(RULES)
    raw_run.settings["c100k_faults"] = [{"at_s": 1, "kind": "silent_death", "host": "node2", "heal_after_s": 5}]
    survivor.causes.append((DIED + 1, "hold", "close", "node2", "target_dead", 100))
    survivor.client[DIED + 1] = 0
    for host in raw_run.hosts:
        host.events.append({"t": HOLD.start - 22.0, "event": "worker_started", "pid": 2, "worker": 0})
        host.events.append({"t": HOLD.start - 20.5, "event": "listening", "pid": 1})
        host.response_us_at = dict.fromkeys(RECOVERY, [2_000_000] * 50)
    for t in range(DIED, HOLD.stop):
        survivor.server[t] = 200
        survivor.kernel[t] += 100
        victim.server[t] = 0
        victim.kernel[t] -= 93  # it has lost its clients, and keeps sockets of which nobody knows
    for t in range(DIED, HEALED + 1):
        del victim.server[t]
    return raw_run


def write(raw_run: RawRun, resumed_after_s: float = 3.0, counter: int = 7) -> RunDirectory:
    run = raw_run.write()
    notes = [(DIED, "injected"), (HEALED, "healed"), (HEALTHY, "healthy")]
    run.faults.write_text(
        "".join(
            json.dumps({"at": at, "host": "node2", "name": "outage", "kind": "silent_death", "state": state}) + "\n"
            for at, state in notes
        )
    )
    run.formation.write_text(json.dumps({"began_at": HOLD.start - 30.0, "nodes": ["node1", "node2"]}))
    pairs = [("node1", "node2"), ("node2", "node1")]
    run.routes.write_text(json.dumps([_route(*pair) for pair in pairs]))
    rows = [
        (session, DIED + 1.0, "target_dead", "node2", "node1", 1, DIED + resumed_after_s, 0, "resumed")
        for session in range(100)
    ]
    columns = "session lost_at cause from to attempts resumed_at missed outcome"
    _csv(run, "resumptions", columns, rows)
    _csv(run, "operations", "t session operation attempt outcome", [(DIED - 0.5, 5, 1, 1, 7)])
    _csv(run, "counters", "session acked last_operation counter", [(5, 7, 1, counter)])
    return run


def _route(origin: str, node: str) -> dict[str, Any]:
    return {"origin": origin, "node": node, "message_ms": 3.5, "resume_ms": 2.5, "problem": None}


def _csv(run: RunDirectory, name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
    with (run.host("node1") / f"node1-w0-{name}.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns.split(), *rows])


def judge(run: RunDirectory) -> dict[str, Any]:
    report.write(run)
    figures: dict[str, Any] = json.loads(run.run_json.read_text())
    jsonschema.validate(figures, json.loads(SCHEMA.read_text()))
    return figures


def broken_rules(figures: dict[str, Any]) -> list[str]:
    return [rule["name"] for rule in [*figures["rules"], *figures["validity"]] if not rule["passed"]]


def test_what_a_death_explains_is_not_held_against_the_run(broken: RawRun, capsys: pytest.CaptureFixture[str]) -> None:
    broken.sla = [rule for rule in RULES if not rule["metric"].startswith("writes")]
    run = write(broken)
    figures = judge(run)
    assert figures["verdict"] == "PASS", figures["reasons"]
    connections = figures["connections"]
    assert (connections["held_min"], connections["recovery_s"], connections["hold_s"]) == (200, 5, 5)
    assert (connections["unexplained_closes"], connections["explained_closes"]) == (0, 100)
    assert figures["ledger"]["coverage"] == 1
    assert figures["ledger"]["kernel_coverage"] < 1
    assert figures["latency_ms"]["samples"] == 500
    assert figures["messages"]["answered"] == 1000
    assert figures["cluster"]["formed_s"] == 1.5
    assert figures["cluster"]["routes"] == 2
    assert (figures["cluster"]["message_max_ms"], figures["cluster"]["resume_max_ms"]) == (3.5, 2.5)
    (recovery,) = figures["recovery"]
    assert (recovery["sessions_affected"], recovery["sessions_resumed"]) == (100, 100)
    assert (recovery["detected_s"]["max"], recovery["reconnected_s"]["max"], recovery["healthy_s"]) == (1, 3, 1.5)
    assert cli.main(["report", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "silent_death of node2: 100 of 100 sessions resumed, 100.00% within 5 s" in shown
    assert "200 of 200 connections held for 5 s, without 5 s of recovery" in shown
    assert "2 of 2 nodes ready, the last after 1.5 s; 2 of 2 pairs share sessions" in shown


def test_a_host_that_is_cut_off_goes_on_counting(raw_run: RawRun) -> None:
    host = raw_run.hosts[1]
    run = write(raw_run)
    run.faults.write_text(run.faults.read_text().replace("silent_death", "partition"))
    (outage,) = outages.read(run, [read_host(run, host.name)])
    assert not any(outage.is_dead(t) for t in range(DIED, HEALED))
    assert outage.explains(host.name, DIED + 1)


def test_several_deaths_are_summed_up(broken: RawRun) -> None:
    run = msgspec.convert(judge(write(broken)), Run)
    first = run.recovery[0]
    slower = msgspec.structs.replace(first, reconnected_s=Spread(p50=4.0, p999=4.2, max=4.5))
    shown = summary.text(msgspec.structs.replace(run, recovery=[slower, first]))
    assert "p99.9 of 2 deaths: from 3.0 to 4.2 s, in the middle 3.6 s" in shown


def test_a_death_too_late_to_see_its_recovery_is_none(broken: RawRun) -> None:
    run = write(broken)
    notes = [json.loads(line) for line in run.faults.read_text().splitlines()]
    for note in notes:
        note["at"] += HOLD.stop - DIED - 3
    run.faults.write_text("".join(json.dumps(note) + "\n" for note in notes))
    assert judge(run)["cluster"]["faults"] == 0


def test_a_dead_server_is_written_as_holding_nothing(broken: RawRun) -> None:
    run = write(broken)
    judge(run)
    rows = {(row["t"], row["host"]): row for row in csv.DictReader(run.ledger.read_text().splitlines())}
    assert rows[str(DIED), "node2"]["server"] == "0"


def test_sessions_that_go_on_too_late_fail_the_run(broken: RawRun) -> None:
    figures = judge(write(broken, resumed_after_s=5.5))
    assert figures["verdict"] == "FAIL"
    assert "recovery (s)" in broken_rules(figures)


def test_latency_after_the_time_that_a_recovery_may_take_counts(broken: RawRun) -> None:
    broken.hosts[0].response_us_at[RECOVERY.stop] = [2_000_000] * 50
    assert "p95" in broken_rules(judge(write(broken)))


def test_a_close_of_a_target_that_did_not_die_is_unexplained(broken: RawRun) -> None:
    broken.hosts[1].causes.append((DIED + 1, "hold", "close", "node1", "reset", 3))
    figures = judge(write(broken))
    assert figures["connections"]["unexplained_closes"] == 3
    assert any("3 connections closed (reset) at node1" in reason for reason in figures["reasons"])
    assert not any("target_dead" in reason for reason in figures["reasons"])


def test_client_and_server_must_agree_while_the_kernel_is_no_witness(broken: RawRun) -> None:
    for t in range(RECOVERY.stop, HOLD.stop):
        broken.hosts[0].server[t] += 5
    assert judge(write(broken))["ledger"]["disagreement"] == 5


def test_a_host_that_did_not_return_has_no_counts_to_be_missed(broken: RawRun) -> None:
    broken.hosts[1].server = {t: count for t, count in broken.hosts[1].server.items() if t < DIED}
    run = write(broken)
    run.faults.write_text(run.faults.read_text().splitlines(keepends=True)[0])
    figures = judge(run)
    assert figures["recovery"][0]["healthy_s"] is None
    assert figures["ledger"]["coverage"] == 1


def test_a_lost_write_fails_the_run_and_is_told(broken: RawRun) -> None:
    figures = judge(write(broken, counter=6))
    assert figures["writes"]["lost"] == 1
    assert "writes lost" in broken_rules(figures)
    assert any("node1: session 5 has 1 increments lost" in reason for reason in figures["reasons"])


def test_a_route_that_failed_or_was_not_tried_fails_the_run(broken: RawRun) -> None:
    run = write(broken)
    failed = {
        **_route("node1", "node2"),
        "message_ms": None,
        "resume_ms": None,
        "problem": "node2 answered c100k/resume with: no",
    }
    run.routes.write_text(json.dumps([failed]))
    figures = judge(run)
    assert figures["cluster"]["routes_failed"] == 2
    assert "routes" in broken_rules(figures)
    assert "route node1 to node2: node2 answered c100k/resume with: no" in figures["reasons"]


def test_a_node_that_never_listened_is_not_ready(broken: RawRun) -> None:
    broken.hosts[1].events.clear()
    figures = judge(write(broken))
    assert (figures["cluster"]["nodes_ready"], figures["cluster"]["formed_s"]) == (1, None)
    assert "nodes" in broken_rules(figures)


def test_each_fault_must_hold_a_rule_of_recoveries(broken: RawRun) -> None:
    run = write(broken)
    second = {"at": HOLD.stop - 1.0, "host": "node1", "name": "outage", "kind": "death", "state": "injected"}
    with run.faults.open("a") as notes:
        notes.write(json.dumps(second) + "\n")
    figures = judge(run)
    assert [recovery["host"] for recovery in figures["recovery"]] == ["node2", "node1"]
    assert "recovery (s)" in broken_rules(figures), "nobody resumed after the second"


def test_a_limit_cannot_be_a_figure_that_each_fault_has(broken: RawRun, capsys: pytest.CaptureFixture[str]) -> None:
    broken.sla = [{"name": "x", "metric": "latency_ms.p95", "op": "<", "limit": "recovery.sessions_lost"}]
    assert cli.main(["report", str(broken.write().path)]) == 2
    assert "which each fault has of its own" in capsys.readouterr().err


def test_a_malformed_record_of_the_routes_is_named(broken: RawRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(broken)
    run.routes.write_text('[{"origin": 1}]')
    assert cli.main(["report", str(run.path)]) == 2
    assert "routes.json is malformed" in capsys.readouterr().err

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from c100k import cli, record, report

from .conftest import HOLD, RawRun

SCHEMA = Path(__file__).parents[3] / "src" / "c100k" / "run.schema.json"


def judge(raw_run: RawRun) -> dict[str, Any]:
    run = raw_run.write()
    report.write(run)
    figures: dict[str, Any] = json.loads(run.run_json.read_text())
    jsonschema.validate(figures, json.loads(SCHEMA.read_text()))
    return figures


def test_a_good_run_passes_with_the_figures_of_its_files(raw_run: RawRun) -> None:
    run = judge(raw_run)
    assert run["verdict"] == "PASS"
    assert run["reasons"] == []
    connections, messages = run["connections"], run["messages"]
    assert (connections["peak"], connections["held_min"], connections["hold_s"]) == (200, 200, 10)
    assert connections["ramp_s"] == 3
    assert (messages["intended"], messages["answered"], messages["rate_per_s"]) == (1000, 1000, 100)
    assert run["latency_ms"]["samples"] == 1000
    assert run["latency_ms"]["p95"] == pytest.approx(2, rel=0.001)
    assert run["server"]["total"]["cpu_us_per_message"] == pytest.approx(20, rel=0.01)
    assert run["server"]["total"]["rss_bytes"] == 2 * (2**24 + 2**23)
    assert run["ledger"] == {
        "seconds": 10,
        "coverage": 1.0,
        "disagreement": 0,
        "disagreement_share": 0.0,
        "kernel_coverage": 1.0,
    }


def test_the_exit_code_and_the_summary_say_the_verdict_and_the_scale(
    raw_run: RawRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run = raw_run.write()
    assert cli.main(["report", str(run.path)]) == 0
    shown = capsys.readouterr().out
    assert "PASS: 200 of 200 connections held for 10 s (scaled down: says nothing about 100,000 connections)" in shown


def test_a_server_worker_that_died_fails_the_run_and_is_named(raw_run: RawRun) -> None:
    victim, witness = raw_run.hosts
    died = HOLD.start + 4
    victim.events.append(
        {"t": died + 0.3, "event": "worker_died", "worker": 1, "pid": 77, "signal": "SIGKILL", "connections": 60}
    )
    witness.causes.append((died, "hold", "close", "node1", "reset", 60))
    for t in range(died, HOLD.stop):
        victim.server[t] -= 60
        victim.kernel[t] -= 60
        witness.client[t] -= 60
        witness.kernel[t] -= 60
    run = judge(raw_run)
    assert run["verdict"] == "FAIL"
    assert run["connections"]["held_min"] == 140
    assert run["connections"]["unexplained_closes"] == 60
    assert run["server"]["worker_deaths"] == 1
    reasons = "\n".join(run["reasons"])
    assert "node1: server worker 1 (pid 77) was killed by SIGKILL" in reasons
    assert "60 connections closed (reset) at node1 in the hold phase, where server worker 1 was killed" in reasons


def test_a_generator_worker_that_died_makes_the_run_invalid(raw_run: RawRun) -> None:
    raw_run.hosts[1].workers[0].update(exit_code=-9, died_at=HOLD.start + 3.0, phase="hold")
    run = judge(raw_run)
    assert run["verdict"] == "INVALID"
    assert "node2: generator worker 0 (pid 4321) was killed by SIGKILL in the hold phase" in run["reasons"]


def test_counts_that_disagree_for_three_seconds_make_the_run_invalid(raw_run: RawRun) -> None:
    for t in list(HOLD)[3:6]:
        raw_run.hosts[0].kernel[t] -= 5
    run = judge(raw_run)
    assert run["ledger"]["disagreement"] == 5
    assert run["verdict"] == "INVALID"


def test_counts_are_not_compared_while_sessions_are_on_their_way(raw_run: RawRun) -> None:
    host = raw_run.hosts[0]
    for t in list(HOLD)[3:7]:
        host.client[t], host.away[t] = host.client[t] - 30, 30

    run = judge(raw_run)

    assert run["ledger"]["disagreement"] == 0
    assert run["connections"]["held_min"] == 170


def test_sockets_of_redis_come_and_go_without_being_missed(raw_run: RawRun) -> None:
    # 40 before the load, 56 after a failover; what else the kernel counts stays as it was.
    raw_run.hosts[0].redis = {t: 56 if t in HOLD else 40 for t in raw_run.hosts[0].kernel}

    run = judge(raw_run)

    assert (run["verdict"], run["ledger"]["disagreement"]) == ("PASS", 0)


def test_a_run_that_was_interrupted_may_have_answers_beyond_its_last_second(raw_run: RawRun) -> None:
    interrupted = raw_run.hosts[0]
    interrupted.client.pop(HOLD.stop - 1)
    interrupted.response_us = [2000] * 60

    run = judge(raw_run)

    assert run["messages"]["answered"] > run["messages"]["intended"]
    assert run["messages"]["error_rate"] == 0


def test_counts_may_differ_by_sessions_that_go_back_to_another_target(raw_run: RawRun) -> None:
    host = raw_run.hosts[0]
    for t in range(HOLD.start + 3, HOLD.start + 7):
        host.server[t] += 5
        host.kernel[t] += 5
        host.causes.append((t, "hold", "close", "node2", "rebalance", 20))
    run = judge(raw_run)
    assert (run["verdict"], run["ledger"]["disagreement"]) == ("PASS", 0)


def test_counts_that_disagree_for_a_moment_do_not(raw_run: RawRun) -> None:
    for t in list(HOLD)[3:5]:
        raw_run.hosts[0].server[t] -= 5
    run = judge(raw_run)
    assert run["ledger"]["disagreement"] == 0
    assert run["connections"]["held_min"] == 195


def test_a_run_from_before_redis_was_counted_is_judged_alike(raw_run: RawRun) -> None:
    run = raw_run.write()
    for host in raw_run.hosts:
        path = run.host(host.name) / "kernel.csv"
        rows = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
        path.write_text("".join(f"{row}\n" for row in rows))

    report.write(run)

    figures = json.loads(run.run_json.read_text())
    assert (figures["verdict"], figures["ledger"]["kernel_coverage"]) == ("PASS", 1.0)


def test_seconds_without_a_kernel_count_are_not_taken_on_trust(raw_run: RawRun) -> None:
    for t in list(HOLD)[:5]:
        del raw_run.hosts[0].kernel[t]
    run = judge(raw_run)
    assert run["ledger"]["coverage"] == 0.5
    assert run["verdict"] == "INVALID"


def test_messages_without_an_answer_count_as_errors(raw_run: RawRun) -> None:
    raw_run.hosts[0].unanswered = 7
    run = judge(raw_run)
    assert run["messages"]["unanswered"] == 7
    assert run["messages"]["error_rate"] == pytest.approx(0.007)
    assert run["verdict"] == "FAIL"


def test_what_a_plan_closed_on_purpose_is_explained(raw_run: RawRun) -> None:
    for cause in ("churn", "storm", "stop"):
        raw_run.hosts[0].causes.append((HOLD.start + 1, "hold", "close", "node2", cause, 5))
    raw_run.hosts[0].causes.append((HOLD.start + 1, "hold", "close", "node2", "eof", 3))
    run = judge(raw_run)
    assert run["connections"]["unexplained_closes"] == 3
    assert run["connections"]["close_causes"] == {"churn": 5, "storm": 5, "stop": 5, "eof": 3}
    [reason] = [reason for reason in run["reasons"] if "connections closed" in reason]
    assert "3 connections closed (eof) at node2 in the hold phase" in reason


def _of_a_stage(found: re.Match[str]) -> str:
    """A tag of a whole hold as that of a stage; of the head of a log, nothing."""
    return f"Tag={found[1]}.peak" if found[1] else ""


def test_the_parts_of_a_hold_are_not_counted_twice(raw_run: RawRun) -> None:
    directory = raw_run.write()
    for path in directory.histograms.glob("*.hlog"):
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line + re.sub(r"^Tag=(\w+)|^#.*\n", _of_a_stage, line) for line in lines))
    report.write(directory)
    assert json.loads(directory.run_json.read_text())["latency_ms"]["samples"] == 1000


def test_slow_answers_break_the_sla(raw_run: RawRun) -> None:
    raw_run.hosts[0].response_us = [2000] * 44 + [150_000] * 6
    run = judge(raw_run)
    assert run["latency_ms"]["p95"] == pytest.approx(150, rel=0.001)
    assert run["verdict"] == "FAIL"
    assert any("p95 response time" in reason for reason in run["reasons"])


def test_a_run_that_was_stopped_is_invalid_and_keeps_what_was_measured(raw_run: RawRun) -> None:
    raw_run.hosts[0].stop_reason = "controller_vanished"
    run = judge(raw_run)
    assert run["verdict"] == "INVALID"
    assert run["messages"]["answered"] == 1000
    assert any("controller_vanished" in reason for reason in run["reasons"])


def test_a_run_without_any_results_is_invalid(raw_run: RawRun) -> None:
    hosts, raw_run.hosts = raw_run.hosts, []
    run = raw_run.write()
    plan = run.plan.read_text().replace("hosts: []", "hosts: [{name: node1, address: a, groups: [servers, loadgens]}]")
    run.plan.write_text(plan)
    assert cli.main(["report", str(run.path)]) == 3
    assert hosts


def test_a_server_without_counts_leaves_the_peak_unknown(raw_run: RawRun) -> None:
    for host in raw_run.hosts:
        host.server.clear()
    run = judge(raw_run)
    assert run["verdict"] == "INVALID"
    assert run["connections"]["peak"] is None
    assert "node1: the server gave no counts" in run["reasons"]


def test_a_generator_that_refused_its_plan_is_quoted(raw_run: RawRun) -> None:
    run = raw_run.write()
    (run.host("node1") / "generator.json").unlink()
    sentence = "/etc/plan.yml:7: start_at is 3.0 s in the past."
    unit = "c100k-loadgen@x.service"
    (run.host("node1") / "loadgen.log").write_text(f"Started {unit}.\n{sentence}\n{unit}: Main process exited\n")
    assert cli.main(["report", str(run.path)]) == 3
    assert (
        f"node1: the generator left no results; it said: {sentence}" in json.loads(run.run_json.read_text())["reasons"]
    )


def test_a_line_cut_short_by_a_crash_is_left_out(raw_run: RawRun) -> None:
    run = raw_run.write()
    for path in [*run.hosts.rglob("*.csv"), *run.histograms.iterdir()]:
        path.write_text(path.read_text()[:-9])
    assert report.write(run).messages.answered > 0


def test_a_run_of_listeners_is_judged_by_its_fan_outs(raw_run: RawRun, capsys: pytest.CaptureFixture[str]) -> None:
    raw_run.listen()
    run = judge(raw_run)
    assert run["verdict"] == "PASS", run["reasons"]
    assert run["connection_kind"] == "HTTP connection with a subscriptions/listen stream"
    assert (run["connections"]["peak"], run["connections"]["held_min"]) == (200, 200), "without the publishers"
    assert run["not_judged"] == [
        "p95 response time (ms): c100k_rate_per_s is 0",
        "error rate: c100k_rate_per_s is 0",
    ]
    fan_out = run["fan_out"]
    assert (fan_out["planned"], fan_out["publishes"], fan_out["publish_errors"]) == (2, 2, {})
    assert (fan_out["listeners"], fan_out["delivered"], fan_out["missing"], fan_out["duplicated"]) == (400, 400, 0, 0)
    assert (fan_out["last_ms"], fan_out["slip_max_ms"], fan_out["latency_ms"]["samples"]) == (80, 2.5, 400)
    assert [publish["listeners"] for publish in fan_out["each"]] == [200, 200]
    assert run["server"]["total"]["cpu_us_per_message"] is None
    assert cli.main(["report", str(raw_run.root / "latest")]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2 publishes, 400 of 400 notifications delivered, 0 of them twice" in shown
    assert "not judged: error rate: c100k_rate_per_s is 0" in shown


def test_a_notification_that_never_came_fails_the_run(raw_run: RawRun) -> None:
    raw_run.listen()
    raw_run.hosts[1].heard[1][3] -= 1
    run = judge(raw_run)
    assert run["verdict"] == "FAIL"
    assert run["fan_out"]["missing"] == run["fan_out"]["each"][1]["missing"] == 1
    assert run["reasons"] == ["notifications delivered: fan_out.delivered = 399 is not == 400"]


def test_a_publisher_that_was_late_makes_the_run_invalid(raw_run: RawRun) -> None:
    raw_run.listen()
    raw_run.hosts[0].published[1][2] = 51.0
    run = judge(raw_run)
    assert run["verdict"] == "INVALID"
    assert run["fan_out"]["each"][1]["slip_ms"] == 51


def test_a_publish_that_nobody_made_does_not_count(raw_run: RawRun) -> None:
    raw_run.listen()
    for host in raw_run.hosts:
        del host.published[0]
    assert judge(raw_run)["fan_out"]["publishes"] == 1


def test_ledger_and_timeline_are_written(raw_run: RawRun) -> None:
    run = raw_run.write()
    report.write(run)
    ledger = list(csv.DictReader(run.ledger.read_text().splitlines()))
    assert {"t": str(HOLD.start), "host": "node1", "client": "100", "server": "100", "kernel": "200"} in ledger
    timeline = {row["t"]: row for row in csv.DictReader(run.timeline.read_text().splitlines())}
    assert timeline[str(HOLD.start)]["answered"] == "100"
    assert float(timeline[str(HOLD.start)]["p95_ms"]) == pytest.approx(2, rel=0.001)


def test_junit_has_a_case_for_each_rule(raw_run: RawRun) -> None:
    raw_run.hosts[0].unanswered = 7
    run = raw_run.write()
    report.write(run)
    suite = ElementTree.parse(run.junit).getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("8", "1", "0")


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({"name": "x", "metric": "latency_ms.q95", "op": "<", "limit": 1}, "did you mean latency_ms.p95?"),
        ({"name": "x", "metric": "latency_ms.p95", "op": "=<", "limit": 1}, "use one of < <= == >= >"),
        ({"name": "x", "metric": "latency_ms.p95", "op": "<"}, "missing required field `limit`"),
        ({"name": "x", "op": "<", "limit": 1}, "needs a figure"),
        ({"name": "x", "promql": "up", "op": "<", "limit": 1}, "asks Prometheus, which a verdict never does"),
        ({"name": "x", "metric": "latency_ms.p95", "op": "<", "limit": 1, "fase": "hold"}, "unknown field `fase`"),
        ({"name": "x", "metric": "latency_ms.p95", "op": "<", "limit": 1, "when": "rate"}, "which is no setting"),
    ],
)
def test_malformed_rules_are_refused_in_a_sentence(
    raw_run: RawRun, rule: dict[str, Any], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw_run.sla = [rule]
    assert cli.main(["report", str(raw_run.write().path)]) == 2
    assert complaint in capsys.readouterr().err


def test_a_directory_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "has no plan.yml" in capsys.readouterr().err


def test_the_schema_in_the_repository_is_the_one_of_the_types() -> None:
    assert json.loads(SCHEMA.read_text()) == record.json_schema()


def test_the_state_cluster_is_kept_with_what_it_lacked(raw_run: RawRun) -> None:
    assert judge(raw_run)["state"] is None

    replica = {
        "host": "node2",
        "address": "10.0.0.2",
        "port": 7011,
        "role": "replica",
        "master": "node1:7010",
        "slots": 0,
        "config_epoch": 1,
        "link_up": False,
        "offset": 1540,
        "keys": 0,
        "used_memory_bytes": 2113704,
        "rss_bytes": 12931072,
    }
    cluster = {
        "versions": ["7.0.15"],
        "current_epoch": 8,
        "slots_covered": 16384,
        "settings": {"appendonly": "yes"},
        "nodes": [replica],
    }
    problem = "node2:7011 is not connected to its master node1:7010."
    run = raw_run.root / "latest"
    recorded = {"changed": False, "complete": False, "problems": [problem], "misplaced": [], "cluster": cluster}
    (run / "state.json").write_text(json.dumps(recorded))

    assert cli.main(["report", str(run)]) == 0

    figures = json.loads((run / "run.json").read_text())
    jsonschema.validate(figures, json.loads(SCHEMA.read_text()))
    assert figures["state"] == {"complete": False, "problems": [problem], **cluster}


def test_a_broken_record_of_the_state_cluster_is_named(raw_run: RawRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = raw_run.write()
    run.state.write_text('{"complete": true}')
    assert cli.main(["report", str(run.path)]) == 2
    assert "state.json does not hold the record of a state cluster" in capsys.readouterr().err


def test_counters_of_a_server_that_was_started_anew_go_on_from_where_they_were(raw_run: RawRun) -> None:
    whole = judge(raw_run)["server"]["by_host"]["node1"]["cpu_s"]
    path = raw_run.root / "latest" / "hosts" / "node1" / "server.csv"
    rows = list(csv.DictReader(path.read_text().splitlines()))
    again = HOLD.start + 4
    first = next(float(row["cpu_s"]) for row in rows if int(row["t"]) == again and row["worker"] == "0")
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        for row in rows:
            if row["worker"] == "0" and int(row["t"]) >= again:
                row["cpu_s"] = str(float(row["cpu_s"]) - first)
            writer.writerow(row)
    assert cli.main(["report", str(raw_run.root / "latest")]) == 0
    found = json.loads((raw_run.root / "latest" / "run.json").read_text())["server"]["by_host"]["node1"]["cpu_s"]
    # What it used in its last second is lost with it.
    assert found == pytest.approx(whole - 0.001)

"""What a plan closes on purpose is held meanwhile and explained, and what pings and calls of a mix came to is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from c100k import record, report, summary

from .conftest import HOLD, RawRun

MISSING = {"name": "missing", "metric": "connections.missing_max", "op": "<=", "limit": 0}
BACK = {"name": "back", "metric": "storm.back", "op": "==", "limit": "storm.closed", "when": "c100k_storm"}
PINGED = {"name": "pinged", "metric": "heartbeats.error_rate", "op": "<", "limit": 0.01, "when": "c100k_heartbeat_s"}
REOPENINGS = ["connection", "why", "closed_at", "opened_at", "connect_ms", "failed", "refused"]


def judge(raw_run: RawRun, **settings: Any) -> record.Run:
    raw_run.sla = [*raw_run.sla, MISSING, BACK, PINGED]
    raw_run.settings |= {"c100k_storm": {}, "c100k_heartbeat_s": 0, **settings}
    directory = raw_run.write()
    judged = report.write(directory)
    schema = json.loads((Path(record.__file__).parent / "run.schema.json").read_text())
    jsonschema.validate(json.loads(directory.run_json.read_text()), schema)
    return judged


def churn(raw_run: RawRun) -> None:
    """In each second of the hold ten connections of the first host to the second are closed in their turn; at the end
    of each second two of them are not back."""
    client, server = raw_run.hosts
    client.plan = {"churn_per_s": 10}
    rows = [[k, "churn", t + k / 10, t + k / 10 + 0.2, 3.5, 0, 0] for t in HOLD for k in range(10)]
    client.others["reopenings"] = [REOPENINGS, *rows]
    client.logged_us["churn_connect"] = [3500] * len(rows)
    for t in HOLD:
        client.causes.append((t, "hold", "close", "node2", "churn", 10))
        client.client[t] -= 2
        client.reopening[t] = 2
        # The server is asked at another moment of the second, and has noticed less.
        server.server[t] -= 1
        client.kernel[t] -= 2
        server.kernel[t] -= 1


def storm(raw_run: RawRun) -> range:
    """Half of the connections of the first host are closed in the fourth second of the hold, and back two later."""
    client, server = raw_run.hosts
    client.plan = {"storm": {"at_s": 3, "share": 0.5, "within_s": 2, "close": "rst"}}
    began = HOLD.start + 3
    rows = [[k, "storm", began + 0.02, began + 0.02 + k / 25, 4.0, 1, 1] for k in range(50)]
    client.others["reopenings"] = [REOPENINGS, *rows]
    client.logged_us["storm_connect"] = [4000] * 50
    client.causes.append((began, "hold", "close", "node2", "storm", 50))
    # Clients at the end of each second, servers and kernels at its beginning.
    for t, back_at_end, back_at_begin in ((began, 25, 50), (began + 1, 48, 26), (began + 2, 50, 48)):
        client.client[t] -= 50 - back_at_end
        client.reopening[t] = 50 - back_at_end
        server.server[t] -= 50 - back_at_begin
        for host in raw_run.hosts:
            host.kernel[t] -= 50 - back_at_begin
    return range(began, began + 3)


def test_connections_are_held_while_churn_has_them_closed(raw_run: RawRun) -> None:
    churn(raw_run)

    run = judge(raw_run, c100k_churn_per_s=10)

    assert (run.verdict, run.reasons) == ("PASS", [])
    assert (run.connections.held_min, run.connections.unexplained_closes) == (200, 0)
    assert run.ledger.disagreement == 0
    assert run.churn is not None
    assert (run.churn.closed, run.churn.back, run.churn.failed, run.churn.connect_ms.samples) == (100, 100, 0, 100)
    assert run.storm is None
    assert "churn        100 connections closed in their turn, 100 back; 0 failed attempts (0 refused)" in (
        summary.text(run)
    )


def test_what_churn_does_not_explain_is_missing_and_disagrees(raw_run: RawRun) -> None:
    churn(raw_run)
    for t in list(HOLD)[5:]:
        # The server has lost five, of which the client does not know.
        raw_run.hosts[1].server[t] -= 5

    run = judge(raw_run, c100k_churn_per_s=10)

    assert run.connections.held_min == 200 - 5 - 1 + 2
    # By the kernel of its host, which has all but one of them.
    assert run.ledger.disagreement == (6 - 1) - 2
    assert run.verdict != "PASS"


def churn_while_counted(raw_run: RawRun, away_s: float) -> None:
    """Of the first host's connections to the second, three are closed just when each second of the hold is counted, and
    are back before the client counts."""
    client, server = raw_run.hosts
    client.plan = {"churn_per_s": 3, "timeout_s": 0.5}
    rows = [[k, "churn", t + 0.02, t + 0.02 + away_s, 3.5, 0, 0] for t in HOLD for k in range(3)]
    client.others["reopenings"] = [REOPENINGS, *rows]
    client.logged_us["churn_connect"] = [3500] * len(rows)
    for t in HOLD:
        client.causes.append((t, "hold", "close", "node2", "churn", 3))
        server.server[t] -= 3
        for host in raw_run.hosts:
            host.kernel[t] -= 3


def test_what_is_on_its_way_just_when_it_is_counted_is_held(raw_run: RawRun) -> None:
    churn_while_counted(raw_run, 0.2)

    run = judge(raw_run, c100k_churn_per_s=3)

    assert (run.verdict, run.reasons) == ("PASS", [])
    assert (run.connections.peak, run.connections.held_min, run.ledger.disagreement) == (200, 200, 0)


def test_no_more_than_are_on_their_way_at_once_may_be_missing(raw_run: RawRun) -> None:
    churn_while_counted(raw_run, 0.2)
    for t in HOLD:
        raw_run.hosts[1].server[t] -= 2

    run = judge(raw_run, c100k_churn_per_s=3)

    assert (run.connections.held_min, run.ledger.disagreement) == (198, 2)
    assert run.verdict != "PASS"


def test_what_takes_longer_than_an_attempt_may_take_is_missing(raw_run: RawRun) -> None:
    churn_while_counted(raw_run, 0.6)

    run = judge(raw_run, c100k_churn_per_s=3)

    assert (run.connections.held_min, run.ledger.disagreement) == (197, 3)


def test_what_is_overdue_is_missing(raw_run: RawRun) -> None:
    churn(raw_run)
    host = raw_run.hosts[0]
    host.reopening[HOLD.start + 6] = 0
    host.others["reopenings"][-1][3:5] = ["", ""]

    run = judge(raw_run, c100k_churn_per_s=10)

    assert (run.verdict, run.connections.held_min) == ("FAIL", 198)
    assert run.churn is not None
    assert (run.churn.closed, run.churn.back) == (100, 99)


def test_a_storm_is_no_loss(raw_run: RawRun) -> None:
    storm(raw_run)

    run = judge(raw_run, c100k_storm={"at_s": 3})

    assert (run.verdict, run.reasons) == ("PASS", [])
    assert run.connections.held_min == 200
    assert run.storm is not None
    assert (run.storm.closed, run.storm.back, run.storm.failed, run.storm.refused) == (50, 50, 50, 50)
    assert run.storm.all_back_s == pytest.approx(49 / 25)
    assert "all back after 2.0 s" in summary.text(run)


def test_a_storm_that_some_do_not_come_back_from_fails(raw_run: RawRun) -> None:
    seconds = storm(raw_run)
    client = raw_run.hosts[0]
    client.others["reopenings"][-1][3:5] = ["", ""]
    for t in range(seconds.stop, HOLD.stop):
        client.client[t] -= 1
        raw_run.hosts[1].server[t] -= 1
        for host in raw_run.hosts:
            host.kernel[t] -= 1

    run = judge(raw_run, c100k_storm={"at_s": 3})

    assert run.verdict == "FAIL"
    assert "missing: connections.missing_max = 1 is not <= 0" in run.reasons
    assert "back: storm.back = 49 is not == 50" in run.reasons
    assert run.storm is not None
    assert run.storm.all_back_s is None


def test_closes_that_nobody_planned_stay_unexplained(raw_run: RawRun) -> None:
    churn(raw_run)
    raw_run.hosts[0].causes.append((HOLD.start, "hold", "close", "node2", "eof", 1))

    run = judge(raw_run, c100k_churn_per_s=10)

    assert (run.verdict, run.connections.unexplained_closes) == ("FAIL", 1)


def test_heartbeats_are_judged_beside_the_messages(raw_run: RawRun) -> None:
    host = raw_run.hosts[0]
    host.plan = {"heartbeat_s": 5}
    host.others["pings"] = [["t", "sent", "answered"], *([t, 20, 19 if t == HOLD.start else 20] for t in HOLD)]
    host.causes.append((HOLD.start, "hold", "ping_error", "node2", "timeout", 1))
    host.logged_us["ping"] = [700] * 199

    run = judge(raw_run, c100k_heartbeat_s=5)

    assert run.verdict == "PASS"
    assert run.heartbeats is not None
    assert (run.heartbeats.sent, run.heartbeats.answered, run.heartbeats.error_rate) == (200, 199, 0.005)
    assert (run.heartbeats.error_causes, run.heartbeats.latency_ms.samples) == ({"timeout": 1}, 199)
    assert run.messages.errors == 0
    [rule] = [rule for rule in run.rules if rule.name == "pinged"]
    assert rule.samples == 200


def test_calls_of_a_mix_are_told_apart(raw_run: RawRun) -> None:
    for host in raw_run.hosts:
        columns = ["t", "call", "sent", "answered"]
        host.others["calls"] = [columns, *([t, "long", 10, 9] for t in HOLD), *([t, "short", 40, 40] for t in HOLD)]
        host.logged_us |= {"call.long": [9000] * 90, "call.short": [1000] * 400}

    run = judge(raw_run)

    assert [(call.name, call.sent, call.answered) for call in run.calls] == [("short", 800, 800), ("long", 200, 180)]
    assert [call.latency_ms.p50 for call in run.calls] == pytest.approx([1, 9], rel=0.001)
    assert run.messages.answered == 1000


def test_a_run_without_a_shape_says_nothing_of_it(raw_run: RawRun) -> None:
    run = judge(raw_run)

    assert (run.churn, run.storm, run.heartbeats, run.calls) == (None, None, None, [])
    said = {line.split(" ")[0] for line in summary.text(run).splitlines()}
    assert said.isdisjoint({"churn", "storm", "heartbeats", "connect", "ping"})

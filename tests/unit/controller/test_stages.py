"""Stages of a hold: each has figures and rules of its own, of its own seconds and messages, and a curve in the end."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hdrh.histogram import HdrHistogram

from c100k import cli, launch, rates, record, report
from c100k.launch import Launch
from c100k.rate_search import CONFIRM, SEARCH, trials_of
from c100k.run_directory import RunDirectory

from .conftest import HOLD, START, RawRun
from .test_page import Page

LATENESS = {"name": "lateness", "metric": "loadgen.slip_ms.p99", "op": "<", "limit": 50, "when": "c100k_rate_per_s"}
CONFIRMED = {"name": "confirmed", "metric": "stages.confirmed_per_s", "op": ">", "limit": 0, "scenarios": [CONFIRM]}
MISSING = {"name": "missing", "metric": "connections.missing_max", "op": "<=", "limit": 10}


def stage(name: str, seconds: int, rate_per_s: int, *, judged: bool = True) -> dict[str, Any]:
    return {"name": name, "seconds": seconds, "rate_per_s": rate_per_s, "judged": judged}


STAIRCASE = [stage("settle-50", 2, 50, judged=False), stage("rate-50", 4, 50), stage("rate-100", 4, 100)]


def run_of(raw_run: RawRun, stages: Sequence[dict[str, Any]], scenario: str = SEARCH) -> RawRun:
    raw_run.scenario = scenario
    raw_run.sla = [*raw_run.sla, LATENESS, MISSING, CONFIRMED]
    raw_run.settings = {"c100k_rate_per_s": 0, "c100k_fan_out_every_s": 0, "c100k_stages": list(stages)}
    return raw_run


def log(
    run: RunDirectory,
    stages: Sequence[dict[str, Any]],
    *,
    response_ms: dict[str, int] | None = None,
    slip_ms: dict[str, int] | None = None,
    unsent: dict[str, int] | None = None,
) -> None:
    """What a generator files under its stages: each second the asked rate, answered after 2 ms if nothing is said."""
    t = HOLD.start
    with (run.histograms / "node1-w0-hold.hlog").open("a") as file:
        for each in stages:
            name = each["name"]
            for second in range(t, t + each["seconds"]):
                for tag, values in (("response", response_ms), ("service", None), ("slip", slip_ms)):
                    histogram = HdrHistogram(1, 3_600_000_000, 3)
                    count = each["rate_per_s"] - ((unsent or {}).get(name, 0) if tag != "response" else 0)
                    histogram.record_value((values or {}).get(name, 2) * 1000, count)
                    file.write(f"Tag={tag}.{name},{second}.000,1.000,2.0,{histogram.encode().decode()}\n")
            t += each["seconds"]
    with (run.host("node1") / "node1-w0-stages.csv").open("w") as file:
        file.write("t,stage,target,cause,count\n")
        for each in stages:
            if count := (unsent or {}).get(each["name"], 0):
                file.write(f"{HOLD.start},{each['name']},node2,queue_full,{count * each['seconds']}\n")


def written(raw_run: RawRun, **bent: dict[str, int]) -> RunDirectory:
    run = raw_run.write()
    log(run, raw_run.settings["c100k_stages"], **bent)
    return run


def judge(run: RunDirectory) -> record.Run:
    judged = report.write(run)
    schema = json.loads((Path(record.__file__).parent / "run.schema.json").read_text())
    jsonschema.validate(json.loads(run.run_json.read_text()), schema)
    return judged


def stages_of(judged: record.Run) -> dict[str, record.Stage]:
    assert judged.stages is not None
    return {each.name: each for each in judged.stages.each}


def broken(judged: record.Run, name: str) -> list[str]:
    return [rule.name for rule in stages_of(judged)[name].rules if not rule.passed]


def test_each_stage_has_its_own_figures(raw_run: RawRun) -> None:
    judged = judge(written(run_of(raw_run, STAIRCASE), response_ms={"rate-100": 40}))
    found = stages_of(judged)
    assert list(found) == ["settle-50", "rate-50", "rate-100"]
    assert found["rate-50"].started_at == HOLD.start + 2
    assert found["rate-50"].latency_ms.p95 == pytest.approx(2, rel=0.001)
    assert found["rate-100"].latency_ms.p95 == pytest.approx(40, rel=0.001)
    assert found["rate-100"].messages.intended == found["rate-100"].messages.answered == 400
    assert found["rate-100"].messages.rate_per_s == 100
    assert found["rate-100"].held_min == 200
    assert [trial.passed for trial in trials_of(judged)] == [True, True]


def test_a_stage_is_held_against_the_rules_of_the_run_though_the_run_has_no_rate(raw_run: RawRun) -> None:
    judged = judge(written(run_of(raw_run, STAIRCASE), response_ms={"rate-100": 131}))
    assert broken(judged, "rate-50") == []
    assert broken(judged, "rate-100") == ["p95 response time (ms)"]
    assert judged.stages is not None
    assert (judged.stages.judged, judged.stages.passed) == (2, 1)
    assert judged.verdict == "PASS"


def test_a_stage_that_settles_is_not_judged(raw_run: RawRun) -> None:
    judged = judge(written(run_of(raw_run, STAIRCASE), response_ms={"settle-50": 5000}))
    assert stages_of(judged)["settle-50"].rules == []
    assert [trial.rate_per_s for trial in trials_of(judged)] == [50, 100]


def test_a_generator_that_was_late_did_not_try_the_rate(raw_run: RawRun) -> None:
    judged = judge(written(run_of(raw_run, STAIRCASE), slip_ms={"rate-100": 80}))
    assert broken(judged, "rate-100") == ["lateness"]


def test_messages_that_were_never_sent_are_errors_of_their_stage(raw_run: RawRun) -> None:
    judged = judge(written(run_of(raw_run, STAIRCASE), unsent={"rate-100": 3}))
    messages = stages_of(judged)["rate-100"].messages
    assert (messages.intended, messages.sent, messages.error_rate) == (400, 388, 0.03)
    assert broken(judged, "rate-100") == ["error rate"]


def test_a_rate_that_was_not_intended_in_full_did_not_pass(raw_run: RawRun) -> None:
    run = run_of(raw_run, STAIRCASE).write()
    log(run, [*STAIRCASE[:2], stage("rate-100", 4, 99)])
    assert broken(judge(run), "rate-100") == ["messages that were asked for"]


def test_connections_lost_in_a_stage_break_it_alone(raw_run: RawRun) -> None:
    for t in range(HOLD.start + 7, HOLD.stop):
        raw_run.hosts[0].client[t] -= 30
    judged = judge(written(run_of(raw_run, STAIRCASE)))
    assert broken(judged, "rate-50") == []
    assert broken(judged, "rate-100") == ["missing"]


def test_a_rate_is_confirmed_by_two_stages_that_pass(raw_run: RawRun) -> None:
    stages = [stage("a", 2, 100), stage("b", 3, 100), stage("c", 2, 50), stage("d", 3, 50)]
    run = written(run_of(raw_run, stages, CONFIRM), response_ms={"b": 131})
    judged = judge(run)
    assert judged.stages is not None
    assert judged.stages.confirmed_per_s == 50
    assert judged.verdict == "PASS"
    assert "Message Rate:           50/s, of which 50.0/s were answered\n" in run.summary.read_text()
    assert "P95 Latency:            2.00 ms\n" in run.summary.read_text()


def test_a_rate_that_failed_once_is_not_confirmed_and_the_run_fails(raw_run: RawRun) -> None:
    stages = [stage("a", 5, 100), stage("b", 5, 100)]
    run = written(run_of(raw_run, stages, CONFIRM), response_ms={"b": 131})
    assert judge(run).verdict == "FAIL"
    assert "Message Rate:           no rate was confirmed\n" in run.summary.read_text()


def test_the_curve_has_the_rates_of_the_runs_before_and_is_drawn_with_the_limit(raw_run: RawRun) -> None:
    run = written(run_of(raw_run, STAIRCASE), response_ms={"rate-100": 131})
    before = [{**dict.fromkeys(rates.COLUMNS, "1"), "run": "before", "rate_per_s": "25", "answered_per_s": "25"}]
    rates.write(run.searched, before)
    assert cli.main(["report", str(run.path)]) == 0
    with run.rates.open() as file:
        rows = [(row["run"], row["rate_per_s"], row["passed"]) for row in csv.DictReader(file)]
    assert rows == [("before", "25", "1"), (run.run_id, "50", "1"), (run.run_id, "100", "0")]
    page = Page(run.page.read_text())
    assert any(title.startswith("Response time by the rate of messages") for title in page.texts["title"])
    assert "p95 limit 100 ms" in page.texts["text"]
    assert page.row("✗ rate-100")[1:5] == ["100/s", "4", "100.0/s", "131.0 ms"]


def test_the_run_that_confirms_decides_and_not_those_that_search(
    raw_run: RawRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = run_of(raw_run, STAIRCASE)
    raw_run.hosts[0].client[START + 8] -= 30
    assert judge(written(search)).verdict == "FAIL"
    monkeypatch.setattr(launch, "_play", lambda *_: 0)
    wanted = Launch("benchmark-100k", runs=raw_run.root, stamp="20261118T110000Z")
    assert launch.run(wanted) == 1
    raw_run.hosts[0].client[START + 8] += 30
    raw_run.settings["c100k_stages"] = [stage("a", 5, 50), stage("b", 5, 50)]
    raw_run.scenario = CONFIRM
    assert judge(written(raw_run)).verdict == "PASS"
    assert launch.run(wanted) == 0
    assert "FAIL" in capsys.readouterr().out

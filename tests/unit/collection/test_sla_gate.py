"""The gate by `ansible`, over a run that was judged and a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from c100k import report

from ..controller.conftest import RawRun

Gate = Callable[..., dict[str, Any]]
NOBODY = "http://127.0.0.1:1"
P95 = {"name": "p95", "metric": "latency_ms.p95", "op": "<", "limit": 100}
ALL_HELD = {"name": "held", "metric": "connections.held_min", "op": ">=", "limit": "connections.target"}


@pytest.fixture
def run_dir(raw_run: RawRun) -> str:
    return judged(raw_run)


@pytest.fixture
def gate(ad_hoc: Gate) -> Gate:
    """The result of the gate for some rules."""

    def judge(*rules: dict[str, Any], **given: Any) -> dict[str, Any]:
        return ad_hoc("sla_gate", {"rules": list(rules), **given})

    return judge


def judged(raw_run: RawRun) -> str:
    run = raw_run.write()
    report.write(run)
    return str(run.path)


def promql(expression: str, op: str, limit: float | str) -> dict[str, Any]:
    return {"name": "asked", "promql": expression, "op": op, "limit": limit}


def outcome(result: dict[str, Any]) -> tuple[str, list[str], bool]:
    return result["verdict"], result["reasons"], result["failed"]


def test_a_run_passes_when_all_rules_that_concern_it_hold(gate: Gate, run_dir: str) -> None:
    done = gate(
        P95,
        ALL_HELD,
        {**P95, "limit": 0.1, "scenarios": ["cluster"]},
        {**P95, "limit": 0.1, "when": "c100k_fan_out_every_s"},
        run_dir=run_dir,
    )
    assert outcome(done) == ("PASS", [], False)
    assert not done["changed"]
    assert [(rule["name"], rule["actual"], rule["limit"], rule["passed"]) for rule in done["rules"]] == [
        ("p95", pytest.approx(2.0, rel=0.01), 100, True),
        ("held", 200, 200, True),
    ]


def test_a_broken_rule_fails_the_task_unless_it_may_not(gate: Gate, run_dir: str) -> None:
    broken = {**P95, "limit": 1}
    reasons = ["p95: latency_ms.p95 = 2 is not < 1"]
    done = gate(broken, ALL_HELD, run_dir=run_dir)
    assert outcome(done) == ("FAIL", reasons, True)
    assert done["msg"] == f"FAIL: {reasons[0]}"
    assert outcome(gate(broken, run_dir=run_dir, fail=False)) == ("FAIL", reasons, False)


def test_what_is_missing_is_invalid_whatever_else_is_broken(gate: Gate, run_dir: str) -> None:
    missing = {"name": "keys", "metric": "registry.keys", "op": "==", "limit": 0}
    limit = {"name": "few", "metric": "connections.peak", "op": "<", "limit": "registry.keys"}
    done = gate({**P95, "limit": 1}, missing, limit, run_dir=run_dir)
    assert done["failed"]
    assert done["verdict"] == "INVALID"
    assert done["reasons"] == [
        "keys: registry.keys was not measured",
        "few: its limit registry.keys was not measured",
        "p95: latency_ms.p95 = 2 is not < 1",
    ]


def test_a_run_that_is_invalid_stays_so(gate: Gate, raw_run: RawRun) -> None:
    raw_run.hosts[0].stop_reason = "controller gone"
    verdict, reasons, failed = outcome(gate(P95, run_dir=judged(raw_run)))
    assert (verdict, failed) == ("INVALID", True)
    assert reasons[0].startswith("the run is INVALID: ")


def test_a_gate_without_a_rule_claims_nothing(gate: Gate, run_dir: str) -> None:
    done = gate({**P95, "scenarios": ["cluster"]}, run_dir=run_dir)
    assert outcome(done) == ("INVALID", ["no rule concerns it, so nothing was judged"], True)


def test_prometheus_is_asked_for_what_a_run_does_not_have(gate: Gate, run_dir: str, prometheus_url: str) -> None:
    # The end of the hold of the run, which is when the run is asked about.
    end = 1_795_000_013
    done = gate(
        P95, promql("time()", "==", end), promql("scalar(vector(7))", "<", "connections.target"),
        run_dir=run_dir, prometheus_url=prometheus_url,
    )  # fmt: skip
    assert outcome(done) == ("PASS", [], False)
    assert [rule["samples"] for rule in done["rules"]] == [1000, 1, 1]
    assert outcome(gate(promql("time()", "==", 5), prometheus_url=prometheus_url, at=5)) == ("PASS", [], False)

    each = promql('label_replace(vector(3), "a", "b", "", "") or vector(5)', "<", 4)
    done = gate(each, promql("vector(1) / 0 - vector(1) / 0", "<", 1), prometheus_url=prometheus_url)
    assert outcome(done) == (
        "INVALID",
        [
            "asked: vector(1) / 0 - vector(1) / 0 was not measured",
            f"asked: {each['promql']} = 5 is not < 4",
        ],
        True,
    )
    assert [(rule["samples"], rule["actual"]) for rule in done["rules"]] == [(2, 5), (1, None)]


def test_what_prometheus_does_not_tell_is_invalid(gate: Gate, prometheus_url: str) -> None:
    done = gate(promql("c100k_absent", "==", 0), promql("nonsense(", "==", 0), promql("up[5m]", "==", 0),
                prometheus_url=prometheus_url)  # fmt: skip
    assert done["verdict"] == "INVALID"
    absent, refused, matrix = done["reasons"]
    assert absent == "asked: c100k_absent was not measured"
    assert refused.startswith(f"asked: Prometheus at {prometheus_url} refuses 'nonsense('")
    assert matrix == "asked: 'up[5m]' gives a matrix; ask for numbers at one moment."

    verdict, reasons, failed = outcome(gate(promql("up", "==", 1), prometheus_url=NOBODY))
    assert (verdict, failed) == ("INVALID", True)
    assert reasons[0].startswith(f"asked: Prometheus at {NOBODY} does not answer 'up'")
    assert outcome(gate(promql("up", "==", 1))) == ("INVALID", ["asked: there is no Prometheus to ask"], True)


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ({**P95, "promql": "up"}, "Rule 1 of rules (p95) needs a figure: either a metric or"),
        ({"name": "none", "op": "<", "limit": 1}, "Rule 1 of rules (none) needs a figure"),
        ({**P95, "op": "!="}, "has the operator '!='"),
        ({**P95, "limit": ""}, "names the figure '', which no run has"),
        ({**P95, "metric": "latency_ms.p95th"}, "did you mean latency_ms.p95?"),
    ],
)
def test_a_malformed_rule_is_refused_whatever_may_fail(
    gate: Gate, run_dir: str, rule: dict[str, Any], complaint: str
) -> None:
    done = gate(rule, run_dir=run_dir, fail=False)
    assert done["failed"]
    assert complaint in done["msg"]


def test_a_setting_needs_a_run(gate: Gate) -> None:
    done = gate({**promql("vector(1)", "==", 1), "when": "c100k_faults"})
    assert done["failed"]
    assert done["msg"].endswith("which is no setting of a run; there are none without a run.")


def test_a_run_that_was_not_judged_is_refused(gate: Gate, tmp_path: Path) -> None:
    done = gate(P95, run_dir=str(tmp_path), fail=False)
    assert done["failed"]
    assert "has no run.json; judge it first" in done["msg"]

"""The rules are what promtool takes, mirror the SLA, and each alert fires and resolves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "dashboards" / "rules"
TESTS = Path(__file__).with_name("alerts.test.yml")
DEFAULTS = ROOT / "collections/ansible_collections/c100k/harness/roles/c100k/defaults/main.yml"


def _rules(name: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load((RULES / name).read_text())["groups"] for rule in group["rules"]]


def _run(promtool: str, *arguments: str) -> None:
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_rules(promtool: str) -> None:
    _run(promtool, "check", "rules", *map(str, sorted(RULES.glob("*.yml"))))


def test_every_alert_fires_and_resolves(promtool: str) -> None:
    _run(promtool, "test", "rules", str(TESTS))


def test_no_alert_is_without_a_test() -> None:
    firing = {
        expected["labels"].split('"')[1]
        for case in yaml.safe_load(TESTS.read_text())["tests"]
        for check in case["promql_expr_test"]
        for expected in check["exp_samples"]
        if "alertname" in expected.get("labels", "")
    }
    assert firing == {rule["alert"] for rule in _rules("alerts.yml")}


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in _rules("alerts.yml"):
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert rule["labels"]["severity"] in ("sla", "validity", "warning")


def test_the_limits_are_those_of_the_sla() -> None:
    sla = {rule["metric"]: rule["limit"] for rule in yaml.safe_load(DEFAULTS.read_text())["c100k_sla"]}
    limits = {rule["labels"]["metric"]: rule["expr"] for rule in _rules("limits.yml")}

    for metric, expression in limits.items():
        assert expression == f"vector({sla[metric]})"
    alerts = {rule["labels"]["metric"] for rule in _rules("alerts.yml") if rule["labels"]["severity"] == "sla"}
    assert alerts == limits.keys()

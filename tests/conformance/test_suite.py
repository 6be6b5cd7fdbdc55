"""The official conformance suite: every scenario that a revision requires, those of the tasks extension, and those of
its header validation."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

# Checks of required scenarios and others that we expect to pass, so that a suite which ran nothing is noticed.
CHECKS_MIN = {"2025-11-25": 83, "2026-07-28": 153}
# No revision requires these, and of `tasks-status-notifications` the suite itself skips the one check.
TASK_CHECKS = {
    "tasks-capability-negotiation": 5,
    "tasks-dispatch-and-envelope": 9,
    "tasks-lifecycle": 9,
    "tasks-mrtr-composition": 2,
    "tasks-mrtr-input": 4,
    "tasks-request-headers": 5,
    "tasks-request-state-removal": 3,
    "tasks-required-task-error": 3,
    "tasks-status-notifications": 0,
    "tasks-wire-fields": 4,
}


@pytest.mark.conformance
@pytest.mark.parametrize("revision", CHECKS_MIN)
def test_every_required_scenario_passes(endpoint: str, node: Any, tmp_path: Path, revision: str) -> None:
    arguments = ("server", "--url", endpoint, "--requirements", revision, "-o", "results")
    ended = node("conformance/dist/index.js", *arguments, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout[-4000:]
    checks = [
        (file.parent.name, check)
        for file in tmp_path.glob("results/*/checks.json")
        for check in json.loads(file.read_text())
    ]
    assert not [each for each in checks if each[1]["status"] in ("FAILURE", "WARNING")]
    passed = Counter(name for name, check in checks if check["status"] == "SUCCESS")
    assert passed.total() >= CHECKS_MIN[revision]
    if revision == "2026-07-28":
        ran = {name for name, _ in checks}
        by_scenario = {name: next(each for each in ran if each.startswith(f"server-{name}-")) for name in TASK_CHECKS}
        assert {name: passed[each] for name, each in by_scenario.items()} == TASK_CHECKS

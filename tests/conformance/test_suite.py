"""The official conformance suite: every scenario that a revision requires, and those of its header validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# Checks of required scenarios and others that we expect to pass, so that a suite which ran nothing is noticed.
CHECKS_MIN = {"2025-11-25": 83, "2026-07-28": 110}


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
        # The tasks extension is not offered, and no revision requires it.
        if not file.parent.name.startswith("server-tasks-")
    ]
    assert not [each for each in checks if each[1]["status"] in ("FAILURE", "WARNING")]
    assert sum(check["status"] == "SUCCESS" for _, check in checks) >= CHECKS_MIN[revision]

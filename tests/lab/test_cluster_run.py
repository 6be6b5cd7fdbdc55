"""The test of the cluster at small scale, on four real hosts, one of which dies without a word and returns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Harness

pytestmark = [pytest.mark.lab, pytest.mark.long]

SMALL = ("-e", "c100k_connections=400", "-e", "c100k_rate_per_s=200", "-e", "c100k_ramp_s=4", "-e", "c100k_settle_s=4")
DEATH = {"c100k_faults": [{"at_s": 5, "kind": "silent_death", "host": "node2", "heal_after_s": 12}]}


def test_sessions_outlive_the_silent_death_of_their_host(harness: Harness, tmp_path: Path) -> None:
    arguments = (*SMALL, "-e", "c100k_hold_s=48", "-e", json.dumps(DEATH), "-e", f"state_secrets_dir={tmp_path}")
    finished = harness.run(*arguments, scenario="cluster", timeout_s=480)

    run = finished.run
    assert run, finished.output
    cluster = run["cluster"]
    assert (cluster["nodes"], cluster["nodes_ready"]) == (4, 4)
    assert (cluster["routes"], cluster["routes_failed"]) == (12, 0)
    assert (cluster["faults_planned"], cluster["faults"]) == (1, 1)
    assert cluster["formed_s"] > 0

    # A busy machine may need more than five seconds; that fails the run, and is not what is tested here.
    (recovery,) = run["recovery"]
    assert (recovery["kind"], recovery["host"]) == ("silent_death", "node2")
    assert recovery["sessions_affected"] >= 90
    assert recovery["sessions_resumed"] == recovery["sessions_affected"]
    assert (recovery["sessions_lost"], recovery["sessions_away"]) == (0, 0)
    assert 0 < recovery["detected_s"]["p50"] <= recovery["reconnected_s"]["p50"] <= recovery["reconnected_s"]["max"]
    assert recovery["healthy_s"] > 0

    writes = run["writes"]
    assert writes["acknowledged"] > 500
    assert (writes["lost"], writes["duplicated"], writes["reordered"], writes["unread"]) == (0, 0, 0, 0)

    # Some connections of Redis are between other hosts by then; nothing else that the kernels count has changed.
    assert run["ledger"]["disagreement"] == 0
    assert run["ledger"]["kernel_coverage"] > 0.1
    assert run["connections"]["unexplained_closes"] == 0
    assert run["connections"]["explained_closes"] >= recovery["sessions_affected"]
    assert run["state"]["complete"], run["state"]["problems"]
    for node in range(1, 5):
        assert "c100k_fault" not in harness.ssh(node, "nft list tables; ls /run/systemd/system")

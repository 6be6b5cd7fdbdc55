"""The test of the registry at small scale, on four real hosts."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Harness

pytestmark = [pytest.mark.lab, pytest.mark.long]

SMALL = tuple(
    word
    for setting in ("connections=400", "rate_per_s=400", "lead_s=40", "ramp_s=4", "settle_s=4", "hold_s=15")
    for word in ("-e", f"c100k_{setting}")
)


def test_names_lead_to_their_sessions_from_every_node(harness: Harness, tmp_path: Path) -> None:
    arguments = (*SMALL, "-e", f"state_secrets_dir={tmp_path}")
    finished = harness.run(*arguments, scenario="registry", timeout_s=480)

    run = finished.run
    assert run, finished.output
    registry = run["registry"]
    assert (registry["keys"], registry["unverified"]) == (400, 0)
    assert (registry["wrong"], registry["lost"], registry["duplicates"]) == (0, 0, 0)
    assert run["messages"]["errors"] == run["messages"]["timeouts"] == 0

    # Four generators with a worker each have three servers to contend at.
    assert (registry["contested"], registry["contest_attempts"]) == (50, 50 * 4 * 3)
    assert registry["stored_keys"] == 450
    assert registry["bytes_per_key"] > 100

    # What servers counted is what the generators have asked for, a second more or less.
    asked = registry["find_ms"]["samples"]
    assert registry["lookups"] == pytest.approx(asked, rel=0.2)
    assert registry["find_local_ms"]["samples"] + registry["find_remote_ms"]["samples"] == asked
    assert registry["register_ms"]["samples"] == 400
    assert min(registry[source]["lookups"] for source in ("own", "cache", "redis")) > 0
    assert registry["own"]["mean_us"] < registry["redis"]["mean_us"]
    assert registry["update_ms"]["samples"] > registry["cycle_ms"]["samples"] > 0

    assert run["connections"]["unexplained_closes"] == 0
    assert run["state"]["complete"], run["state"]["problems"]

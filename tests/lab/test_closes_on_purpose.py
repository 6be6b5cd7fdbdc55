"""Connections that the plan itself closes and opens again, in turn and half of all at once, on four real hosts."""

from __future__ import annotations

import json

import pytest

from .conftest import Harness

pytestmark = [pytest.mark.lab, pytest.mark.long]

CONNECTIONS, CHURN_PER_S, HOLD_S = 2000, 50, 40
SHAPE = {
    "c100k_connections": CONNECTIONS,
    "c100k_rate_per_s": 400,
    "c100k_ramp_s": 4,
    "c100k_settle_s": 4,
    "c100k_hold_s": HOLD_S,
    "c100k_churn_per_s": CHURN_PER_S,
    "c100k_storm": {"at_s": 15, "share": 0.5, "within_s": 2},
}


def test_what_is_closed_on_purpose_comes_back_and_is_held_meanwhile(harness: Harness) -> None:
    finished = harness.run("-e", json.dumps(SHAPE), timeout_s=480)

    assert finished.code == 0, finished.output
    run = finished.run
    connections, churn, storm = run["connections"], run["churn"], run["storm"]
    assert connections["close_causes"] == {
        "churn": churn["closed"],
        "storm": storm["closed"],
        "stop": CONNECTIONS,
    }
    assert connections["unexplained_closes"] == 0
    assert connections["missing_max"] == 0
    # Those that are on their way when the storm breaks out cannot be hit, nor those that wait for their turn.
    assert CONNECTIONS / 2 - 10 <= storm["closed"] <= CONNECTIONS / 2
    assert storm["back"] == storm["closed"] == storm["connect_ms"]["samples"]
    assert 1.9 < storm["all_back_s"] < 6
    assert CHURN_PER_S * HOLD_S - 10 <= churn["closed"] <= CHURN_PER_S * HOLD_S
    # The last ones of the hold may be on their way when it ends.
    assert churn["closed"] - 10 <= churn["back"] == churn["connect_ms"]["samples"]
    assert run["ledger"]["disagreement"] == 0
    assert run["ledger"]["kernel_coverage"] > 0.95
    messages = run["messages"]
    assert messages["error_causes"].keys() <= {"storm"}
    assert messages["answered"] + messages["errors"] == messages["intended"]

"""The search for the highest rate at small scale: two runs that search and one that confirms, each ramping up once."""

from __future__ import annotations

import csv

import pytest

from c100k import report

from .conftest import Harness

pytestmark = [pytest.mark.lab, pytest.mark.long]

RATES = [200, 400]
SMALL = ("-e", "c100k_connections=400", "-e", "c100k_ramp_s=2", "-e", "c100k_settle_s=2", "-e", "c100k_lead_s=25")
STAGES = ("-e", "c100k_search_rates=200,400", "-e", "c100k_search_stage_s=3", "-e", "c100k_search_settle_s=1")


def test_what_passes_everywhere_is_searched_upwards_and_confirmed(harness: Harness) -> None:
    finished = harness.run(*SMALL, *STAGES, "-e", "c100k_search_confirm_s=5", scenario="benchmark-100k", timeout_s=480)

    assert finished.run, finished.output
    stamp = finished.directory.name.partition("-")[0]
    first, second = (report.read(harness.runs / f"{stamp}-{name}") for name in ("rate-search", "rate-search-2"))
    for run, rates in ((first, RATES), (second, [600, 800])):
        assert run.stages is not None
        assert [stage.rate_per_s for stage in run.stages.each if stage.judged] == rates
        assert [stage.messages.intended for stage in run.stages.each if stage.judged] == [3 * rate for rate in rates]
        assert run.connections.close_causes.keys() == {"stop"}

    confirming = [stage for stage in finished.run["stages"]["each"] if stage["judged"]]
    assert len(confirming) == 4
    passed: dict[float, list[bool]] = {}
    for stage in confirming:
        passed.setdefault(stage["rate_per_s"], []).append(all(rule["passed"] for rule in stage["rules"]))
    assert finished.run["stages"]["confirmed_per_s"] == max((r for r, each in passed.items() if all(each)), default=0)
    assert finished.code == {"PASS": 0, "FAIL": 1, "INVALID": 3}[finished.run["verdict"]]
    with (finished.directory / "rates.csv").open() as file:
        assert [int(row["rate_per_s"]) for row in csv.DictReader(file)][:4] == [200, 400, 600, 800]

"""Names: every figure of `run.json` about them follows from the raw files, and every mistake in these is counted."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hdrh.histogram import HdrHistogram

from c100k import report
from c100k.run_directory import RunDirectory, RunDirectoryError
from c100k.summary import text

from .conftest import HOLD, START, RawRun

SCHEMA = Path(__file__).parents[3] / "src" / "c100k" / "run.schema.json"
RULES: list[dict[str, Any]] = [
    {"name": "names", "metric": "registry.keys", "op": "==", "limit": "connections.target"},
    {"name": "look-up mean", "metric": "registry.mean_us", "op": "<", "limit": 1000},
    {"name": "wrong", "metric": "registry.wrong", "op": "==", "limit": 0},
    {"name": "lost", "metric": "registry.lost", "op": "==", "limit": 0},
    {"name": "duplicates", "metric": "registry.duplicates", "op": "==", "limit": 0},
    {"name": "p99 of look-ups", "metric": "registry.find_ms.p99", "op": "<", "limit": 50},
]
BOUNDS = ("1.6e-05", "0.001024", "+Inf")


def name_row(number: int, **changes: Any) -> dict[str, Any]:
    name = f"node1/{number}"
    right = {"name": name, "target": "node2", "node": "node2", "acked": 3, "version": 3, "outcome": "found"}
    return {**right, "found_node": "node2", "found_value": f"{name}#3", **changes}


def contest_row(name: str, session: str, outcome: str, found: str = "node1/0") -> dict[str, Any]:
    return {"name": name, "session": session, "target": "node2", "outcome": outcome, "found": found}


@dataclass
class Names:
    """What a generator, the server and the Redis of a host say of names; `times_us` are by phase and tag."""

    names: list[dict[str, Any]] = field(default_factory=lambda: [name_row(number) for number in range(100)])
    contest: list[dict[str, Any]] = field(
        default_factory=lambda: [
            contest_row("contested/0", "node1/0", "won"),
            contest_row("contested/0", "node1/1", "taken"),
        ]
    )
    # At a moment: worker, source, seconds, and the look-ups within each bound.
    lookups: list[tuple[int, str, str, float, int, int, int]] = field(
        default_factory=lambda: [
            (HOLD.start, "0", "cache", 1.0, 100, 100, 100),
            (HOLD.start + 1, "0", "cache", 1.0008, 200, 200, 200),
            (HOLD.start + 1, "0", "redis", 0.04, 0, 99, 100),
        ]
    )
    times_us: Mapping[tuple[str, str], int] = field(
        default_factory=lambda: {
            ("hold", "find_local"): 1000,
            ("hold", "find_remote"): 3000,
            ("hold", "update"): 5000,
            ("hold", "cycle"): 9000,
            ("hold", "stale"): 500,
            ("ramp", "register"): 7000,
        }
    )

    def write(self, run: RunDirectory, host: str) -> None:
        directory = run.host(host)
        for kind, rows in (("names", self.names), ("contest", self.contest)):
            with (directory / f"{host}-w0-{kind}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0].keys() if rows else ["name"])
                writer.writeheader()
                writer.writerows(rows)
        with (directory / "lookups.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("t", "worker", "source", "seconds", *BOUNDS), *self.lookups])
        for (phase, tag), value_us in self.times_us.items():
            histogram = HdrHistogram(1, 3_600_000_000, 3)
            histogram.record_value(value_us, 50)
            t = HOLD.start if phase == "hold" else START
            with (run.histograms / f"{host}-w0-{phase}.hlog").open("a") as log:
                log.write(f"Tag={tag},{t}.000,1.000,2.0,{histogram.encode().decode()}\n")
        record = json.loads((directory / "generator.json").read_text())
        record["plan"] |= {"registry": {"local": 0.5}, "connections": 100}
        (directory / "generator.json").write_text(json.dumps(record))


@pytest.fixture
def named_run(raw_run: RawRun) -> RawRun:
    raw_run.hosts.pop()
    raw_run.connections = 100
    raw_run.sla += RULES
    return raw_run


def judge(raw_run: RawRun, names: Names, keys: str | None = None) -> tuple[dict[str, Any], str]:
    run = raw_run.write()
    names.write(run, "node1")
    if keys is not None:
        run.keys.write_text(keys)
    judged = report.write(run)
    figures: dict[str, Any] = json.loads(run.run_json.read_text())
    jsonschema.validate(figures, json.loads(SCHEMA.read_text()))
    return figures, text(judged)


def test_a_run_without_names_has_no_registry(raw_run: RawRun) -> None:
    run = raw_run.write()
    assert report.write(run).registry is None


def test_a_registry_that_is_right_passes_with_the_figures_of_its_files(named_run: RawRun) -> None:
    keys = [
        {"prefix": "c100k:r:", "keys": 101, "bytes": 20_200},
        {"prefix": "c100k:names:", "keys": 16, "bytes": 10_100},
    ]
    run, summary = judge(named_run, Names(), json.dumps(keys))
    assert run["verdict"] == "PASS", run["reasons"]
    registry = run["registry"]
    assert (registry["keys"], registry["unverified"], registry["contested"], registry["contest_attempts"]) == (
        100,
        0,
        1,
        2,
    )
    assert (registry["wrong"], registry["lost"], registry["duplicates"]) == (0, 0, 0)
    # What was before the hold is taken off, and what no row was there for counts from nothing.
    assert registry["cache"] == {"lookups": 100, "mean_us": pytest.approx(8), "p50_us": 16, "p99_us": 16}
    assert registry["redis"] == {"lookups": 100, "mean_us": pytest.approx(400), "p50_us": 1024, "p99_us": 1024}
    assert registry["own"] == {"lookups": 0, "mean_us": None, "p50_us": None, "p99_us": None}
    assert (registry["lookups"], registry["mean_us"]) == (200, pytest.approx(204))
    assert registry["find_ms"]["samples"] == 100
    assert registry["finds_per_s"] == 10
    for kind, expected in {
        "find_local": 1,
        "find_remote": 3,
        "update": 5,
        "cycle": 9,
        "register": 7,
        "stale": 0.5,
    }.items():
        assert registry[f"{kind}_ms"]["p50"] == pytest.approx(expected, rel=0.001)
    assert (registry["stored_keys"], registry["bytes_per_key"]) == (101, 300)
    assert "100 names lead to their session, 300 bytes each; 0 wrong, 0 lost, 0 had twice, 0 not verified" in summary
    assert "cache 100 of 8.0, redis 100 of 400.0" in summary


@pytest.mark.parametrize(
    ("change", "figure"),
    [
        ({"found_value": "node1/8#3"}, "wrong"),
        ({"found_value": "node1/7#2"}, "wrong"),
        ({"found_value": "node1/7#4"}, "wrong"),
        ({"found_value": "[1, 2]"}, "wrong"),
        ({"found_node": "node3"}, "wrong"),
        ({"outcome": "missing", "found_node": "", "found_value": ""}, "lost"),
        ({"outcome": "unanswered", "found_node": "", "found_value": ""}, "unverified"),
    ],
)
def test_a_name_that_does_not_lead_home_is_counted(named_run: RawRun, change: dict[str, Any], figure: str) -> None:
    names = Names()
    names.names[7] = name_row(7, **change)
    run, _ = judge(named_run, names)
    registry = run["registry"]
    assert registry["keys"] == 99
    assert {name: registry[name] for name in ("wrong", "lost", "duplicates", "unverified") if registry[name]} == {
        figure: 1
    }
    assert run["verdict"] == "FAIL"


def test_either_version_may_be_there_when_the_outcome_is_not_known(named_run: RawRun) -> None:
    names = Names()
    names.names[7] = name_row(7, acked=2, version=4)
    run, _ = judge(named_run, names)
    assert run["registry"]["keys"] == 100


def test_a_name_without_a_row_is_not_verified(named_run: RawRun) -> None:
    names = Names()
    del names.names[7]
    run, _ = judge(named_run, names)
    assert (run["registry"]["keys"], run["registry"]["unverified"]) == (99, 1)


@pytest.mark.parametrize(
    ("outcomes", "found", "expected"),
    [
        (("won", "won"), ("node1/0", "node1/1"), {"duplicates": 1}),
        (("taken", "taken"), ("node1/7", "node1/7"), {"lost": 1, "wrong": 2}),
        (("refused", "taken"), ("", ""), {"lost": 1}),
        (("won", "taken"), ("node1/0", "node1/1"), {"wrong": 1}),
        (("won", "taken"), ("node1/0", ""), {}),
    ],
)
def test_a_contested_name_has_one_owner(
    named_run: RawRun, outcomes: tuple[str, str], found: tuple[str, str], expected: dict[str, int]
) -> None:
    rows = [contest_row("contested/0", f"node1/{n}", outcomes[n], found[n]) for n in (0, 1)]
    run, _ = judge(named_run, Names(contest=rows))
    registry = run["registry"]
    assert {name: registry[name] for name in ("wrong", "lost", "duplicates") if registry[name]} == expected


def test_what_generators_found_wrong_on_the_way_counts(named_run: RawRun) -> None:
    causes = ("wrong_find_local", "wrong_find_remote", "wrong_node", "wrong_payload", "wrong_id")
    for cause in (*causes, "lost_find_remote", "taken_update", "taken_cycle", "timeout"):
        named_run.hosts[0].causes.append((HOLD.start, "settle", "message_error", "node2", cause, 2))
    run, _ = judge(named_run, Names())
    registry = run["registry"]
    assert (registry["wrong"], registry["lost"], registry["duplicates"]) == (6, 2, 4)
    assert run["verdict"] == "FAIL"


def test_a_server_that_began_anew_counts_from_nothing(named_run: RawRun) -> None:
    names = Names()
    names.lookups.append((HOLD.start + 2, "0", "redis", 0.01, 0, 10, 10))
    run, _ = judge(named_run, names)
    assert run["registry"]["redis"]["lookups"] == 110
    assert run["registry"]["redis"]["mean_us"] == pytest.approx(0.05 / 110 * 1e6)


def test_look_ups_outside_the_hold_do_not_count(named_run: RawRun) -> None:
    names = Names()
    names.lookups.append((HOLD.stop + 1, "0", "cache", 9.0, 900, 900, 900))
    run, _ = judge(named_run, names)
    assert run["registry"]["cache"]["lookups"] == 100


def test_what_was_not_measured_breaks_its_rule(named_run: RawRun) -> None:
    run, summary = judge(named_run, Names(lookups=[]))
    assert run["verdict"] == "FAIL"
    assert "look-up mean: registry.mean_us was not measured" in run["reasons"]
    assert run["registry"]["bytes_per_key"] is None
    assert "unknown bytes each" in summary


def test_a_malformed_record_of_keys_is_told(named_run: RawRun) -> None:
    with pytest.raises(RunDirectoryError, match=r"keys\.json is malformed"):
        judge(named_run, Names(), '[{"prefix": 7}]')

"""Faults, and what the generators saw of the sessions on their hosts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from c100k import recovery
from c100k.recovery import Recovery
from c100k.run_directory import RunDirectory

COLUMNS = "session,lost_at,cause,from,to,attempts,resumed_at,missed,outcome"
AT = 1000.0


def run(root: Path, faults: list[dict[str, Any]], *resumptions: str, host: str = "node1") -> list[Recovery]:
    (root / "hosts" / host).mkdir(parents=True, exist_ok=True)
    (root / f"hosts/{host}/{host}-w0-resumptions.csv").write_text("\n".join([COLUMNS, *resumptions, ""]))
    (root / "faults.jsonl").write_text("".join(json.dumps(fault) + "\n" for fault in faults))
    return recovery.recoveries(RunDirectory(root))


def injected(at: float = AT, host: str = "node2", name: str = "fault") -> dict[str, Any]:
    return {"at": at, "host": host, "name": name, "state": "injected", "kind": "silent_death", "units": {}}


def healed(at: float, host: str = "node2", name: str = "fault") -> dict[str, Any]:
    return {"at": at, "host": host, "name": name, "state": "healed", "units": {}}


def test_a_run_without_faults_has_no_recoveries(tmp_path: Path) -> None:
    assert recovery.recoveries(RunDirectory(tmp_path)) == []


def test_a_fault_that_hit_nobody(tmp_path: Path) -> None:
    (found,) = run(tmp_path, [injected()])
    assert (found.host, found.kind, found.injected_at, found.healed_at) == ("node2", "silent_death", AT, None)
    assert found.sessions_affected == 0
    assert found.resumed_within_5s_share is None
    assert found.reconnected_s.max is None


def test_sessions_count_from_the_fault(tmp_path: Path) -> None:
    (found,) = run(
        tmp_path,
        [injected(), healed(1060.0)],
        "1,1001.0,target_dead,node2,node3,1,1001.5,0,resumed",
        "2,1001.25,target_dead,node2,node4,2,1002.0,0,resumed",
        "3,1001.5,eof,node2,node3,9,1006.0,3,resumed",
        "4,1001.5,target_dead,node2,node1,1,1002.5,,session_lost",
        "5,1001.5,target_dead,node2,,4,,,away",
    )
    assert (found.sessions_affected, found.sessions_resumed) == (5, 3)
    assert (found.sessions_lost, found.sessions_away) == (1, 1)
    assert (found.detected_s.p50, found.detected_s.max) == (1.5, 1.5)
    assert (found.reconnected_s.p50, found.reconnected_s.p999, found.reconnected_s.max) == (2.0, 6.0, 6.0)
    assert found.resumed_within_5s_share == pytest.approx(2 / 5)
    assert found.causes == {"target_dead": 4, "eof": 1}
    assert found.spread == {"node3": 2, "node4": 1}


def test_only_what_the_fault_explains_is_counted(tmp_path: Path) -> None:
    (found,) = run(
        tmp_path,
        [injected(), healed(1010.0)],
        "1,999.0,eof,node2,node3,1,999.5,0,resumed",
        "2,1001.0,eof,node3,node4,1,1001.5,0,resumed",
        "3,1001.0,eof,node2,node3,1,1001.5,0,resumed",
        "3,1002.0,moved,node3,node4,1,1002.5,0,resumed",
        "4,1011.0,eof,node2,node3,1,1011.5,0,resumed",
    )
    assert found.sessions_affected == 1
    assert found.spread == {"node3": 1}


def test_clocks_that_differ_a_little_make_no_negative_time(tmp_path: Path) -> None:
    (found,) = run(tmp_path, [injected()], "1,999.8,eof,node2,node3,1,1000.1,0,resumed")
    assert found.detected_s.max == 0.0
    assert found.reconnected_s.max == pytest.approx(0.1)


def test_each_fault_has_its_own(tmp_path: Path) -> None:
    faults = [injected(), healed(1010.0), injected(1020.0), injected(1021.0, "node3", "other"), healed(1030.0)]
    first, second, other = run(
        tmp_path,
        faults,
        "1,1001.0,eof,node2,node3,1,1002.0,0,resumed",
        "1,1021.5,eof,node3,node4,1,1023.0,0,resumed",
        "2,1020.5,eof,node2,node4,1,1021.0,0,resumed",
    )
    assert [each.sessions_affected for each in (first, second, other)] == [1, 1, 1]
    assert (second.healed_at, other.healed_at) == (1030.0, None)
    assert (other.host, other.reconnected_s.max) == ("node3", 2.0)


def test_lines_cut_short_are_left_out(tmp_path: Path) -> None:
    run(tmp_path, [injected()], "1,1001.0,eof,node2,node3,1,1002.0,0,resumed")
    with (tmp_path / "faults.jsonl").open("a") as faults:
        faults.write('{"at": 10')
    with (tmp_path / "hosts/node1/node1-w0-resumptions.csv").open("a") as rows:
        rows.write("2,1001.0,eof,node2")
    (found,) = recovery.recoveries(RunDirectory(tmp_path))
    assert found.sessions_affected == 1

"""Sessions over HTTP are given up by DELETE when a run is over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .test_stand_alone import CONNECTIONS, LOAD, PATIENT, Loadgen, Serve

ELDER = ("--protocol", "2025-11-25")


@pytest.mark.parametrize(("kind", "sessions"), [("session", CONNECTIONS), ("session_stream", CONNECTIONS // 2)])
def test_the_server_keeps_none(serve: Serve, loadgen: Loadgen, tmp_path: Path, kind: str, sessions: int) -> None:
    server, results = serve(), tmp_path / "results.json"
    url = f"http://127.0.0.1:{server.port}/mcp"
    ran = loadgen("run", url, *LOAD, *PATIENT, *ELDER, "--connection", kind, "--json", str(results))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    connections = json.loads(results.read_text())["connections"]
    assert connections["session_ends"] == {"ended": sessions}
    assert connections["closes"] == {"stop": CONNECTIONS}
    assert f"sessions       {sessions} given up at the end (ended {sessions})" in ran.stdout
    assert server.counts()["sessions"] == 0


@pytest.mark.parametrize(
    ("behaviour", "outcome"), [("keeps_sessions", "not_allowed"), ("ignores_ends", "unanswered"), ("elder", "ended")]
)
def test_what_other_servers_make_of_it(serve: Serve, loadgen: Loadgen, behaviour: str, outcome: str) -> None:
    server = serve(behaviour=f"http {behaviour}")
    ran = loadgen("run", f"http://127.0.0.1:{server.port}/mcp", *LOAD, *PATIENT, *ELDER)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{CONNECTIONS} given up at the end ({outcome} {CONNECTIONS})" in ran.stdout


def test_the_stateless_era_has_none(serve: Serve, loadgen: Loadgen) -> None:
    server = serve()
    ran = loadgen("run", f"http://127.0.0.1:{server.port}/mcp", *LOAD, *PATIENT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "given up at the end" not in ran.stdout

"""Tools of 2026-07-28 that want arguments repeated in headers, which the server holds against the body."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .test_stand_alone import LOAD, PATIENT, Loadgen, Serve

_HERE = Path(__file__).parent


@pytest.fixture
def url(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PYTHONPATH", f"{_HERE}:{os.environ.get('PYTHONPATH', '')}")
    return f"http://127.0.0.1:{serve('routed_app:app').port}/mcp"


def test_arguments_are_repeated(url: str, loadgen: Loadgen, tmp_path: Path) -> None:
    rows = [
        {"region": "eu"},
        {"region": "item ${n}", "count": 7, "urgent": True},
        {"region": "Z\u00fcrich ${n}", "note": "in no header"},
        {"region": " spaces around "},
        {"region": "=?base64?eA==?="},
        {"region": "${text:50}", "urgent": False},
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    call = ("--tool", "route", "--data", str(data))
    ran = loadgen("run", url, *LOAD, *PATIENT, "--protocol", "2026-07-28", *call)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_plan_may_say_what_is_repeated(url: str, loadgen: Loadgen, tmp_path: Path) -> None:
    plan = {
        "schema_version": 1,
        "run_id": "routed",
        "host": "local",
        "protocol": "2026-07-28",
        "transport": "http",
        "connection": "stateless",
        "targets": [{"name": "server", "address": "127.0.0.1", "port": int(url.split(":")[2].split("/")[0])}],
        "connections": 2,
        "rate_per_s": 20,
        "ramp_s": 1,
        "settle_s": 1,
        "hold_s": 1,
        "calls": [{"tool": "route", "arguments": {"region": "eu"}, "headers": {}}],
    }
    path, output = tmp_path / "plan.json", tmp_path / "out"
    path.write_text(json.dumps(plan))
    assert loadgen("run", str(path), "--output", str(output), "--status", "127.0.0.1:0").returncode == 0
    told = loadgen("report", str(output))
    assert told.returncode == 1
    assert "errors         20, 100.000% (bad_status 20)" in told.stdout
    assert "servers said   HTTP 400 -32020 mcp-param-region is not the argument region" in told.stdout

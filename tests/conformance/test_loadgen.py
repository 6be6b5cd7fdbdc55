"""The load generator against a server that others wrote: the official Python SDK, in every kind of connection."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
SDK = Path(os.environ.get("C100K_SDK_ENVIRONMENTS", HERE.parent.parent / ".cache/sdk")) / "2/bin/python"
CONNECTIONS, RATE, SECONDS = 10, 20, 4

pytestmark = pytest.mark.conformance


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the SDK's server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    process = subprocess.Popen([str(SDK), str(HERE / "sdk_2_server.py"), str(number)])
    give_up_at = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", number), timeout=1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < give_up_at
            time.sleep(0.1)
    yield number
    process.terminate()
    process.wait(30)


@pytest.mark.parametrize(
    ("connection", "protocol", "rate_per_s"),
    [
        ("session", "2025-11-25", RATE),
        ("session_stream", "2025-11-25", RATE),
        ("stateless", "2026-07-28", RATE),
        ("listen", "2026-07-28", 0),
    ],
)
def test_every_kind_of_connection(port: int, tmp_path: Path, connection: str, protocol: str, rate_per_s: int) -> None:
    plan: dict[str, Any] = {
        "schema_version": 1,
        "run_id": "sdk",
        "host": "here",
        "targets": [{"name": "sdk", "address": "127.0.0.1", "port": port}],
        "transport": "http",
        "connection": connection,
        "protocol": protocol,
        "connections": CONNECTIONS,
        "rate_per_s": rate_per_s,
        "ramp_s": 3,
        "settle_s": 1,
        "hold_s": SECONDS - 1,
        "workers": 1,
    }
    path, output = tmp_path / "plan.yml", tmp_path / "output"
    path.write_text(yaml.safe_dump(plan))
    command = [sys.executable, "-m", "c100k_loadgen", "run", str(path), "--output", str(output)]
    ended = subprocess.run(
        [*command, "--status", "127.0.0.1:0"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    causes = list(csv.DictReader((output / "here-w0-causes.csv").read_text().splitlines()))
    seconds = list(csv.DictReader((output / "here-w0-seconds.csv").read_text().splitlines()))
    # Sessions are given up at the end, and the SDK's servers let them go.
    sessions = {"session": CONNECTIONS, "session_stream": CONNECTIONS // 2}.get(connection, 0)
    assert {(row["kind"], row["cause"]): int(row["count"]) for row in causes} == {
        ("close", "stop"): CONNECTIONS,
        **({("session_end", "ended"): sessions} if sessions else {}),
    }
    assert sum(int(row["opened"]) for row in seconds) == CONNECTIONS
    assert sum(int(row["answered"]) for row in seconds) == rate_per_s * SECONDS

"""What the kernel counts during a run: against the instrument, or against the server."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from .test_stand_alone import LOAD, PATIENT, Loadgen, Serve


@pytest.fixture
def output(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> Path:
    """The files of a run that went well."""
    directory = tmp_path / "out"
    ran = loadgen("run", f"http://127.0.0.1:{serve().port}/mcp", *LOAD, *PATIENT, "--output", str(directory))
    assert ran.returncode in (0, 3), ran.stdout + ran.stderr
    return directory


@pytest.mark.parametrize(
    ("counter", "target_here", "verdict", "sentence"),
    [
        ("RcvPruned", False, "INVALID", "  - this host: 5 received packets were dropped for lack of buffers"),
        ("TCPMemoryPressures", False, "INVALID", "  - this host: TCP came under memory pressure 5 times"),
        ("conntrack.drop", False, "INVALID", "  - this host: connection tracking was full, and 5 packets were dropped"),
        ("TCPSynRetrans", False, "PASS", "warning: 5 SYNs were sent again"),
        ("ListenOverflows", True, "PASS", "warning: a queue of connections to be accepted was full 5 times"),
        ("ListenOverflows", False, "PASS", None),
    ],
)
def test_what_the_files_say_is_judged(
    output: Path, loadgen: Loadgen, counter: str, target_here: bool, verdict: str, sentence: str | None
) -> None:
    path = output / "generator.json"
    record = json.loads(path.read_text())
    assert record["kernel"]["target_here"] is True
    assert record["kernel"]["after"].keys() >= {"ListenOverflows", "TCPSynRetrans", "RcvPruned", "TCPMemoryPressures"}
    before = record["kernel"]["before"]
    record["kernel"] = {"target_here": target_here, "before": before, "after": {**before, counter: 5}}
    record["kernel"]["after"][counter] += before.get(counter, 0)
    path.write_text(json.dumps(record))
    told = loadgen("report", str(output), *PATIENT)
    assert verdict in told.stdout.splitlines()
    assert sentence is None or sentence in told.stdout
    assert ("warning:" in told.stdout) == (sentence is not None and sentence.startswith("warning:"))


def test_a_server_that_does_not_accept(loadgen: Loadgen) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        load = ("--connections", "6", "--rate", "1", "--duration", "1", "--ramp", "1", "--timeout", "3")
        ran = loadgen("run", url, *load, "--protocol", "2025-11-25")
    assert "warning: a queue of connections to be accepted was full " in ran.stdout, ran.stdout + ran.stderr
    assert "SYNs were sent again" in ran.stdout

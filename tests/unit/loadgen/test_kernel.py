"""What the kernel counts during a run: against the instrument, or against the server."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from .test_stand_alone import LOAD, PATIENT, Loadgen, Serve

CASES = [
    ("RcvPruned", False, "INVALID", "  - this host: 5 received packets were dropped for lack of buffers"),
    ("TCPMemoryPressures", False, "INVALID", "  - this host: TCP came under memory pressure 5 times"),
    ("conntrack.drop", False, "INVALID", "  - this host: connection tracking was full, and 5 packets were dropped"),
    ("TCPSynRetrans", False, "PASS", "warning: 5 SYNs were sent again"),
    ("ListenOverflows", True, "PASS", "warning: a queue of connections to be accepted was full 5 times"),
    ("ListenOverflows", False, "PASS", None),
]


def test_what_the_files_say_is_judged(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> None:
    output = tmp_path / "out"
    ran = loadgen("run", f"http://127.0.0.1:{serve().port}/mcp", *LOAD, *PATIENT, "--output", str(output))
    assert ran.returncode in (0, 3), ran.stdout + ran.stderr
    path = output / "generator.json"
    record = json.loads(path.read_text())
    assert record["kernel"]["target_here"] is True
    assert record["kernel"]["after"].keys() >= {"ListenOverflows", "TCPSynRetrans", "RcvPruned", "TCPMemoryPressures"}
    before = record["kernel"]["before"]
    for counter, target_here, verdict, sentence in CASES:
        after = {**before, counter: before.get(counter, 0) + 5}
        record["kernel"] = {"target_here": target_here, "before": before, "after": after}
        path.write_text(json.dumps(record))
        told = loadgen("report", str(output), *PATIENT)
        assert verdict in told.stdout.splitlines(), counter
        assert sentence is None or sentence in told.stdout
        assert ("warning:" in told.stdout) == (sentence is not None and sentence.startswith("warning:")), counter


def test_a_server_that_does_not_accept(loadgen: Loadgen) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        url = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        load = ("--connections", "6", "--rate", "1", "--duration", "1", "--ramp", "1", "--timeout", "3")
        ran = loadgen("run", url, *load, "--protocol", "2025-11-25")
    assert "warning: a queue of connections to be accepted was full " in ran.stdout, ran.stdout + ran.stderr
    assert "SYNs were sent again" in ran.stdout

"""A run while it happens: what generators say over HTTP, the files of it, and `c100k run` in a terminal and in a pipe.

The playbook is a stub here, which writes what the real one writes; the lab tests run the real one.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from c100k import live, progress
from c100k.histograms import empty
from c100k.run_directory import RunDirectory

PLAYBOOK = '''#!{python}
"""Stands for ansible-playbook: writes a run directory and progress as the real one does."""
import json, os, sys, time
from pathlib import Path
from c100k import run_directory
from c100k.live import HostProgress, Progress
from c100k.progress import ProgressWriter

given = dict(word.split("=", 1) for word in sys.argv if "=" in word)
if sys.argv[3].endswith("stop.yml"):
    sys.exit(0)
print("TASK [Watch the run to its end]", flush=True)
print("colours are", "forced" if os.environ.get("ANSIBLE_FORCE_COLOR") else "its own choice", flush=True)
hosts = [{{"name": name, "address": "-", "groups": ["servers", "loadgens"]}} for name in ("node2", "node3")]
plan = {{"scenario": "load", "created_at": time.time(), "substrate": "hardware", "protocol": "2025-11-25",
        "transport": "tcp", "hosts": hosts, "validity": [],
        "sla": [{{"name": "p95", "metric": "latency_ms.p95", "op": "<", "limit": 80}}],
        "settings": {{"c100k_connections": 2000}}}}
run = run_directory.create(Path(given["c100k_runs_dir"]), given["c100k_run_stamp"] + "-load", plan)
died = {{"at": time.time(), "host": "node2", "name": "outage", "state": "injected", "kind": "silent_death"}}
run.faults.write_text(json.dumps(died) + "\\n")
with ProgressWriter(run) as written:
    for p95 in (10.0, 20.0, 40.0, 80.0):
        each = [HostProgress(name, "hold", 999, 1000, 250, p95, 0) for name in ("node2", "node3")]
        now = Progress(time.time(), "hold", 1998, 2000, 500, p95, 3, 0, 2, 1, 61.0, ("node3",), tuple(each))
        written.write(now)
        print(now.line(), flush=True)
        time.sleep({pause})
'''

INVENTORY = """#!/bin/sh
echo '{"_meta": {"hostvars": {}}}'
"""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with an interpreter and what `c100k` calls beside it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    (directory / "python").symlink_to(sys.executable)
    (tmp_path / "hosts.yml").write_text("all: {}\n")
    for name, text in (("ansible-playbook", PLAYBOOK), ("ansible-inventory", INVENTORY)):
        path = directory / name
        path.write_text(text.format(python=directory / "python", pause=0.8) if name.endswith("book") else text)
        path.chmod(0o755)
    return directory


def command(programs: Path) -> tuple[list[str], dict[str, str]]:
    root = programs.parent
    words = [str(programs / "python"), "-m", "c100k", "run", "load", "-i", str(root / "hosts.yml")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TERM": "xterm-256color",
        "COLUMNS": "120",
    }
    environment.pop("NO_COLOR", None)
    return [*words, "--runs-dir", str(root / "runs")], environment


def in_terminal(words: list[str], environment: dict[str, str], stop_at: bytes | None = None) -> tuple[int, str]:
    """The exit code, and all that was written to the terminal; Ctrl-C is typed as soon as `stop_at` is seen."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    # A session that opens a terminal has it as its own: only then Ctrl-C comes as a signal.
    opened = ["sh", "-c", 'exec "$@" <"$0"', os.ttyname(theirs), *words]
    process = subprocess.Popen(opened, env=environment, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    shown = b""
    for chunk in _chunks(ours):
        shown += chunk
        if stop_at is not None and stop_at in shown:
            os.write(ours, b"\x03")
            stop_at = None
    os.close(ours)
    return process.wait(180), shown.decode()


def plain(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_in_a_terminal_the_run_is_shown_below_what_the_playbook_says(programs: Path) -> None:
    code, shown = in_terminal(*command(programs))
    assert code == 3, shown
    text = plain(shown)
    assert "TASK [Watch the run to its end]" in text
    assert "colours are forced" in text
    assert "1,998 / 2,000" in text
    assert "silent death of node2" in text
    assert re.search(r"node3 +no answer +999 / 1,000 +250 +80\.0", text)
    assert "▂▃▅█" in text
    assert "peak 80.0 ms, limit 80 ms" in text
    assert "1:01 left" in text
    assert "INVALID: unknown of 2,000 connections" in text
    assert_cursor_is_back(shown)


def test_ctrl_c_in_a_terminal_stops_and_judges(programs: Path) -> None:
    playbook = programs / "ansible-playbook"
    playbook.write_text(playbook.read_text().replace("time.sleep(0.8)", "time.sleep(100)"))
    code, shown = in_terminal(*command(programs), stop_at=b"silent death of node2")
    assert code == 3, shown
    text = plain(shown)
    assert "Interrupted; stopping the run." in text
    assert "Stopping the hosts and collecting what was measured" in text
    assert "INVALID: unknown of 2,000 connections" in text
    assert_cursor_is_back(shown)


def assert_cursor_is_back(shown: str) -> None:
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def _chunks(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux says so when the other end was closed
            return
        if not chunk:
            return
        yield chunk


def test_in_a_pipe_there_are_plain_lines_only(programs: Path) -> None:
    words, environment = command(programs)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 3, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "TASK [Watch the run to its end]\ncolours are its own choice\n" in done.stdout
    assert (
        "hold   [####################]   1,998 / 2,000 connected     500 msg/s  p95   10.0 ms  3 errors" in done.stdout
    )
    assert "no answer from node3" in done.stdout
    assert "INVALID: unknown of 2,000 connections" in done.stdout


class Generator(BaseHTTPRequestHandler):
    """Stands for the status page of a generator."""

    status: dict[str, Any]

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(self.status).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def generator(state: str, connected: int, latencies_us: list[int]) -> ThreadingHTTPServer:
    histogram = empty()
    for value in latencies_us:
        histogram.record_value(value)
    status = {
        "state": state,
        "connected": connected,
        "target": 100,
        "errors": 1,
        "timeouts": 2,
        "connect_errors": 0,
        "closed": 0,
        "away": 0,
        "reopening": 0,
        "ends_at": time.time() + 5,
        "last_second": {"answered": len(latencies_us), "response_hdr": histogram.encode().decode()},
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("One", (Generator,), {"status": status}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_what_the_generators_say_is_merged_and_kept_by_host(tmp_path: Path) -> None:
    servers = [generator("done", 100, [1000] * 99), generator("done", 50, [50_000])]
    endpoints = [
        live.Endpoint(f"node{number}", f"http://127.0.0.1:{server.server_port}/status")
        for number, server in enumerate(servers, 1)
    ]
    seen = next(live.follow(endpoints))
    for server in servers:
        server.shutdown()
        server.server_close()
    assert (seen.state, seen.connected, seen.target, seen.rate_per_s, seen.errors) == ("done", 150, 200, 100, 6)
    assert seen.p95_ms == pytest.approx(1, rel=0.001), "of all messages; an average of both would be 25"
    assert [(host.name, host.connected) for host in seen.hosts] == [("node1", 100), ("node2", 50)]
    assert seen.hosts[1].p95_ms == pytest.approx(50, rel=0.001)
    assert "[###############.....]" in seen.line()

    run = RunDirectory(tmp_path)
    later = replace(seen, t=seen.t + 1, silent=("node1", "node2"))
    for each in (seen, later):
        with progress.ProgressWriter(run) as written:
            written.write(each)
    with run.progress.open("a") as handle:
        handle.write("1795436844.6,wait,0")
    assert progress.read(run) == [seen, later]

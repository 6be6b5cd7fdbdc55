"""The tasks that show hosts, in real playbooks, in a pipe and in a terminal, against a stub of a host's pages."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml

from c100k.histograms import empty

from ..controller.test_live import in_terminal, plain

WATCH = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Watch the run
      c100k.harness.watch:
        run_dir: "{{ run_dir }}"
        endpoints:
          - {name: node1, url: "{{ url }}/status"}
          - {name: node2, url: "http://127.0.0.1:1/status"}
        return_at: "{{ now().timestamp() + 1 }}"
      register: __seen
    - name: Tell it
      ansible.builtin.debug:
        msg: "last seen {{ __seen.last.connected }} of {{ __seen.last.target }}"
"""

MONITOR = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Show the hosts
      c100k.harness.monitor:
        servers:
          - {name: node1, url: "{{ url }}/metrics"}
          - {name: node2, url: "http://127.0.0.1:1/metrics"}
        loadgens:
          - {name: node1, url: "{{ url }}/status"}
        times: 2
"""

METRICS = """\
c100k_server_connections{worker="0"} 75
c100k_server_messages_received_total{worker="0"} 1000
c100k_server_resident_memory_bytes{worker="0"} 1048576
"""


class Host(BaseHTTPRequestHandler):
    """Stands for the pages of a host whose generator is in its hold."""

    status: ClassVar[dict[str, object]] = {
        "state": "hold",
        "connected": 75,
        "target": 100,
        "errors": 0,
        "timeouts": 0,
        "connect_errors": 0,
        "closed": 0,
        "away": 0,
        "reopening": 0,
    }

    def do_GET(self) -> None:
        second = empty()
        second.record_value(3000, 40)
        last = {"answered": 40, "response_hdr": second.encode().decode()}
        self.send_response(200)
        self.end_headers()
        text = (
            METRICS
            if self.path == "/metrics"
            else json.dumps({**self.status, "ends_at": time.time() + 600, "last_second": last})
        )
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


class Playbook:
    """A playbook, played against such a host."""

    def __init__(self, home: Path, collection: Path, text: str, port: int) -> None:
        (home / "playbook.yml").write_text(text)
        (home / "plan.yml").write_text(yaml.safe_dump({"sla": [{"metric": "latency_ms.p95", "limit": 2}]}))
        given = {"run_dir": str(home), "url": f"http://127.0.0.1:{port}"}
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        self._command = [program, "-i", "localhost,", str(home / "playbook.yml"), "-e", json.dumps(given)]
        self._environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collection.parents[2]),
            "ANSIBLE_HOME": str(home / "home"),
            "ANSIBLE_CONFIG": str(collection.parents[3] / "ansible.cfg"),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "COLUMNS": "120",
        }
        self._environment.pop("NO_COLOR", None)

    def in_pipe(self) -> str:
        done = subprocess.run(
            self._command, env=self._environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "\x1b" not in done.stdout
        return done.stdout

    def in_terminal(self) -> list[str]:
        """The frames; each must go back over the lines of the one before."""
        code, shown = in_terminal(self._command, self._environment)
        assert code == 0, shown
        first, *later = re.split(r"\x1b\[(\d+)A\x1b\[J", shown)
        frames = [framed(text) for text in (first, *later[1::2])]
        assert [int(lines) for lines in later[::2]] == [len(frame) for frame in frames[:-1]]
        return ["\n".join(frame) for frame in frames]


def framed(text: str) -> list[str]:
    """The lines of a frame, which has a border."""
    lines = plain(text).splitlines()
    top, bottom = (next(number for number, line in enumerate(lines) if line.startswith(corner)) for corner in "╭╰")
    return lines[top : bottom + 1]


@pytest.fixture
def playbook(tmp_path: Path, collection: Path) -> Iterator[Callable[[str], Playbook]]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda text: Playbook(tmp_path, collection, text, server.server_port)
        server.shutdown()


def test_the_run_is_shown_in_plain_lines_and_kept_in_its_files(
    playbook: Callable[[str], Playbook], tmp_path: Path
) -> None:
    shown = playbook(WATCH).in_pipe()
    assert "hold   [###############.....]      75 / 100 connected      40 msg/s  p95    3.0 ms  0 errors" in shown
    assert "left; behind: node1 75 / 100; no answer from node2" in shown
    assert "last seen 75 of 100" in shown
    for name, who in (("progress.csv", ""), ("progress-hosts.csv", "node1")):
        rows = list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        assert {(row["state"], row["connected"], row.get("name", "")) for row in rows} == {("hold", "75", who)}


def test_in_a_terminal_the_run_is_drawn_anew_each_second(playbook: Callable[[str], Playbook]) -> None:
    *_, last = playbook(WATCH).in_terminal()
    assert re.search(r"connected +[━╸╺]+ +75 / 100 +0 closed, 0 connects failed", last)
    assert re.search(r"messages +40/s +0 errors", last)
    assert re.search(r"p95 +3\.0 ms +█+ +peak 3\.0 ms, limit 2 ms", last)
    assert re.search(r"phase .* hold .* (9:5\d|10:00) left", last)
    assert re.search(r"node1 +hold +75 / 100 +40 +3\.0 +0", last)


def test_the_monitor_shows_plain_lines_in_a_pipe(playbook: Callable[[str], Playbook]) -> None:
    shown = playbook(MONITOR).in_pipe()
    assert shown.count("hold   [###############.....]      75 / 100 connected      40 msg/s  p95    3.0 ms") == 2
    assert re.search(r"^node1 +75 +0 +1 MiB +hold, 75 of 100 connected$", shown, re.MULTILINE)
    assert re.search(r"^all +75 +no server answers at node2$", shown, re.MULTILINE)


def test_the_monitor_draws_the_same_in_a_terminal(playbook: Callable[[str], Playbook]) -> None:
    _first, last = playbook(MONITOR).in_terminal()
    assert re.search(r"connected +[━╸╺]+ +75 / 100", last)
    assert re.search(r"node1 +hold +75 / 100 +40 +3\.0 +0", last)
    assert re.search(r"node1 +75 +0 +1 MiB", last)
    assert re.search(r"node2 +- +- +-", last)
    assert re.search(r"all +75", last)

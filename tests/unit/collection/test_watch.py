"""The task that watches a run, in a real playbook, against a stub of a generator's status page."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from c100k.histograms import empty

PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Watch the run
      c100k.harness.watch:
        run_dir: "{{ run_dir }}"
        endpoints:
          - {name: node1, url: "{{ url }}"}
          - {name: node2, url: "http://127.0.0.1:1/status"}
        return_at: "{{ now().timestamp() + 1 }}"
      register: __seen
    - name: Tell it
      ansible.builtin.debug:
        msg: "last seen {{ __seen.last.connected }} of {{ __seen.last.target }}"
"""


class Generator(BaseHTTPRequestHandler):
    """Stands for the status page of a generator in its hold."""

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
        "ends_at": time.time() + 600,
    }

    def do_GET(self) -> None:
        second = empty()
        second.record_value(3000, 40)
        last = {"answered": 40, "response_hdr": second.encode().decode()}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({**self.status, "last_second": last}).encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


def test_the_run_is_shown_in_plain_lines_and_kept_in_its_files(tmp_path: Path, collection: Path) -> None:
    (tmp_path / "playbook.yml").write_text(PLAYBOOK)
    with ThreadingHTTPServer(("127.0.0.1", 0), Generator) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given = {"run_dir": str(tmp_path), "url": f"http://127.0.0.1:{server.server_port}/status"}
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                "localhost,",
                "playbook.yml",
                "-e",
                json.dumps(given),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "ANSIBLE_COLLECTIONS_PATH": str(collection.parents[2]),
                "ANSIBLE_HOME": str(tmp_path / "home"),
                "ANSIBLE_CONFIG": str(collection.parents[3] / "ansible.cfg"),
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    line = "hold   [###############.....]      75 / 100 connected      40 msg/s  p95    3.0 ms  0 errors"
    assert line in done.stdout
    assert "left; behind: node1 75 / 100; no answer from node2" in done.stdout
    assert "last seen 75 of 100" in done.stdout
    assert "\x1b" not in done.stdout
    for name, who in (("progress.csv", ""), ("progress-hosts.csv", "node1")):
        rows = list(csv.DictReader((tmp_path / name).read_text().splitlines()))
        assert {(row["state"], row["connected"], row.get("name", "")) for row in rows} == {("hold", "75", who)}

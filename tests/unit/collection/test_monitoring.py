"""The role that watches a run, with a real Prometheus, and without any."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from c100k import prometheus, run_warnings
from c100k.run_directory import RunDirectory

from . import ansible_programs
from .processes import wait_until

RUN_ID = "20261123T101500Z-load"
PLAYBOOK = """\
- hosts: monitoring
  gather_facts: false
  tasks:
    - name: Do it
      ansible.builtin.include_role:
        name: c100k.harness.monitoring
        tasks_from: "{{ wanted }}"
"""
INVENTORY = {
    "monitoring": {"hosts": {"localhost": {"ansible_connection": "local"}}},
    "servers": {"hosts": {"node1": {"ansible_host": "127.0.0.1"}}},
    "loadgens": {"hosts": {"node1": {}, "node2": {"ansible_host": "::1"}}},
    "all": {"vars": {"ansible_python_interpreter": sys.executable}},
}


class Run:
    """A run directory, and the role's part in it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory / RUN_ID
        self.directory.mkdir()
        self.monitoring = self.directory / "monitoring"
        self.url = f"http://127.0.0.1:{port}"
        self._home = directory
        self._given = {"monitoring_run_directory": str(self.directory), "monitoring_port": port}
        (directory / "playbook.yml").write_text(PLAYBOOK)
        (directory / "inventory.yml").write_text(json.dumps(INVENTORY))

    def play(self, wanted: str, *arguments: str, **given: Any) -> str:
        """What the playbook said; it must not fail."""
        done = ansible_programs.run(
            "ansible-playbook",
            self._home,
            *("-i", "inventory.yml", "playbook.yml", *arguments),
            *("-e", json.dumps({**self._given, "wanted": wanted, **given})),
            PATH=f"{os.environ['PATH']}{os.pathsep}{prometheus.PROGRAMS}",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def targets(self, count: int) -> list[dict[str, Any]]:
        """Its targets, once there are so many: it reads them some seconds after it is ready."""
        give_up_at = time.monotonic() + 60
        found: list[dict[str, Any]] = []
        while len(found) < count and time.monotonic() < give_up_at:
            with urllib.request.urlopen(f"{self.url}/api/v1/targets", timeout=10) as answer:
                found = json.load(answer)["data"]["activeTargets"]
            time.sleep(0.1)
        return found

    @property
    def pid(self) -> int | None:
        file = self.monitoring / "prometheus.pid"
        return json.loads(file.read_text())["pid"] if file.exists() else None

    @property
    def watching(self) -> Path:
        return RunDirectory(self.directory).watching

    @property
    def warnings(self) -> list[str]:
        return run_warnings.read(RunDirectory(self.directory))


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def run(tmp_path: Path, port: int) -> Iterator[Run]:
    run = Run(tmp_path, port)
    yield run
    if answers(run.url):
        run.play("stop")


def test_a_run_is_watched_until_it_is_stopped(run: Run) -> None:
    sla = [{"name": "p95", "metric": "latency_ms.p95", "op": "<", "limit": 250}]
    assert "changed=0" not in run.play("start", c100k_sla=sla)
    targets = run.targets(6)
    assert sorted(
        (it["labels"]["job"], it["labels"]["host"], it["discoveredLabels"]["__address__"]) for it in targets
    ) == [
        ("c100k-loadgen", "node1", "127.0.0.1:7002"),
        ("c100k-loadgen", "node2", "[::1]:7002"),
        ("c100k-server", "node1", "127.0.0.1:7001"),
        ("node", "node1", "127.0.0.1:9100"),
        ("node", "node2", "[::1]:9100"),
        ("prometheus", "localhost", run.url.removeprefix("http://")),
    ]
    assert {it["labels"]["run"] for it in targets} == {RUN_ID}
    asked = [parse_qs(urlsplit(it["scrapeUrl"]).query) for it in targets if it["labels"]["job"] == "node"]
    assert all("cpu" in query["collect[]"] and "hwmon" not in query["collect[]"] for query in asked)
    with urllib.request.urlopen(f"{run.url}/api/v1/rules", timeout=10) as answer:
        groups = {group["name"]: group["rules"] for group in json.load(answer)["data"]["groups"]}
    assert {"c100k_run", "c100k_host", "c100k_sla", "c100k_validity", "c100k_warnings"} < groups.keys()
    assert [rule["query"] for rule in groups["c100k_limits"]] == ["vector(250)"]

    pid = run.pid
    assert "changed=0" in run.play("start", c100k_sla=sla)
    assert run.pid == pid
    assert "changed=1" in run.play("stop", "--check")
    assert answers(run.url)
    wait_until(lambda: bool(prometheus.query(run.url, 'process_cpu_seconds_total{job="prometheus"}')))
    run.play("stop")
    assert not answers(run.url)
    assert run.pid is None
    assert (run.monitoring / "data").is_dir()
    assert run.warnings == []
    found = json.loads(run.watching.read_text())["data"]["result"]
    assert {("process_cpu_seconds_total", "prometheus"), ("up", "node"), ("up", "c100k-server")} <= {
        (series["metric"]["__name__"], series["metric"]["job"]) for series in found
    }
    assert all(len(series["values"]) >= 1 for series in found)
    assert "changed=0" in run.play("stop")


def test_it_ends_by_itself_and_then_there_is_a_warning(run: Run) -> None:
    run.play("start", monitoring_runtime_max_s=3)
    wait_until(lambda: not answers(run.url))
    run.play("stop")
    (warning,) = run.warnings
    assert warning.startswith("What the watching took is not known. Ask Prometheus what it has counted")


def test_what_goes_wrong_is_a_warning_and_the_run_goes_on(run: Run, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        run.play("start")
    assert run.warnings[0].startswith("This run was not watched by Prometheus. Start Prometheus: ")
    assert f"Something listens at {run.url} already" in run.warnings[0]
    assert run.pid is None
    assert "changed=0" in run.play("stop")
    assert not run.watching.exists()

    run.play("start", monitoring_retention="forever")
    assert "Prometheus cannot be started" in run.warnings[1]
    assert "forever" in run.warnings[1]
    assert run.pid is None

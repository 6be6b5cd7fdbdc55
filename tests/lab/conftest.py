"""A lab of four hosts of the tests' own, and the command line of the controller to drive it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from c100k import lab

ROOT = Path(__file__).parents[2]
CONFIG = lab.LabConfig(name="test", subnet="10.112.0.0/24")
OF_THE_TESTS = ("-e", f"c100k_lab_name={CONFIG.name}", "-e", f"c100k_lab_subnet={CONFIG.subnet}")


@dataclass(frozen=True)
class Finished:
    """A run that ended: its exit code, what it printed, and what it left."""

    code: int
    output: str
    directory: Path
    run: dict[str, Any]


class Harness:
    """Runs scenarios on the lab of the tests."""

    def __init__(self, runs: Path) -> None:
        self.runs = runs

    def ssh(self, node: int, command: str) -> str:
        arguments = ["ssh", "-F", f"/var/lib/c100k/lab/{CONFIG.name}/ssh_config", f"root@{self.address(node)}", command]
        return subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=30).stdout

    @staticmethod
    def address(node: int) -> str:
        return f"10.112.0.{10 + node}"

    def status(self, node: int) -> dict[str, Any] | None:
        try:
            with urllib.request.urlopen(f"http://{self.address(node)}:7002/status", timeout=2) as answer:
                found: dict[str, Any] = json.load(answer)
        except OSError:
            return None
        return found

    def wait_for(self, phase: str, node: int = 1, timeout_s: float = 120) -> None:
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            status = self.status(node)
            if status and status["state"] == phase:
                return
            time.sleep(0.5)
        pytest.fail(f"node{node} did not reach the phase {phase} within {timeout_s} s")

    def playbook(self, name: str, *arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(ROOT / "playbooks" / name)]
        done = subprocess.run(
            [*command, *OF_THE_TESTS, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def started(self, *arguments: str, scenario: str = "load") -> Iterator[subprocess.Popen[str]]:
        command = [sys.executable, "-m", "c100k", "run", scenario, "--runs-dir", str(self.runs), *OF_THE_TESTS]
        process = subprocess.Popen(
            [*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=180)

    def finish(self, process: subprocess.Popen[str], timeout_s: float = 240) -> Finished:
        output, _ = process.communicate(timeout=timeout_s)
        directory = (self.runs / "latest").resolve()
        run_json = directory / "run.json"
        run = json.loads(run_json.read_text()) if run_json.exists() else {}
        return Finished(process.returncode, output, directory, run)

    def run(
        self,
        *arguments: str,
        scenario: str = "load",
        during: Callable[[], None] | None = None,
        timeout_s: float = 240,
    ) -> Finished:
        """Run a scenario; `during` is called when the hold has begun."""
        with self.started(*arguments, scenario=scenario) as process:
            if during is not None:
                self.wait_for("hold")
                during()
            return self.finish(process, timeout_s)


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    if os.geteuid() != 0:
        pytest.skip("the lab needs root: it makes network namespaces, mounts and machines")
    lab.up(CONFIG, print)
    yield Harness(tmp_path_factory.mktemp("runs"))
    lab.down(CONFIG, print)

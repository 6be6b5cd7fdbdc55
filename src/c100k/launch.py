"""Start a scenario's playbook, and see it to its end: Ctrl-C, a time limit, or a playbook that breaks off.

The playbook runs in a session of its own, so that Ctrl-C reaches it once, from here, and the hosts are stopped and
collected from before this process ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from c100k import report
from c100k.errors import C100KError
from c100k.project import PLAYBOOKS, ROOT, RUNS
from c100k.rate_search import SEARCH
from c100k.record import Run, Verdict
from c100k.run_directory import RunDirectory, new_stamp
from c100k.summary import verdict_line
from c100k.terminal import View

_INTERRUPTED_WAIT_S = 15.0


class ScenarioError(C100KError):
    """There is no such scenario, or its inventory cannot be read."""


@dataclass(frozen=True)
class Launch:
    """What to run: a scenario on an inventory, with extra variables as Ansible's `-e` takes them."""

    scenario: str
    inventory: Path = ROOT / "inventory" / "lab"
    extra: Sequence[str] = ()
    runs: Path = RUNS
    timeout_s: float | None = None
    verbose: int = 0
    provision: bool = True
    stamp: str = field(default_factory=new_stamp)


def scenarios() -> list[str]:
    """`all`, the names of the playbooks `test-100k-<name>.yml`, and those of `benchmark-<name>.yml` in full."""
    tests = sorted(path.stem.removeprefix("test-100k-") for path in PLAYBOOKS.glob("test-100k-*.yml"))
    return ["all", *tests, *sorted(path.stem for path in PLAYBOOKS.glob("benchmark-*.yml"))]


def playbook_of(scenario: str) -> Path:
    """The playbook of a scenario.

    Raises:
        ScenarioError: when there is none of that name.
    """
    if scenario not in scenarios():
        raise ScenarioError(f"There is no scenario {scenario!r}; choose from {', '.join(scenarios())}.")
    if scenario.startswith("benchmark-"):
        return PLAYBOOKS / f"{scenario}.yml"
    return PLAYBOOKS / ("test-100k.yml" if scenario == "all" else f"test-100k-{scenario}.yml")


def run(launch: Launch) -> int:
    """Run the playbook and return the exit code: 0 PASS, 1 FAIL, 3 INVALID, 2 refused before anything was measured."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore Ctrl-C otherwise
        signal.signal(number, _as_ctrl_c)
    code = _play(launch, playbook_of(launch.scenario), [], launch.timeout_s)
    directories = [RunDirectory(path) for path in sorted(launch.runs.glob(f"{launch.stamp}-*"))]
    if not directories:
        return 2 if code else 0
    for directory in directories:
        if not directory.run_json.exists():
            print(f"\nStopping the hosts and collecting what was measured of {directory.run_id} ...", flush=True)
            _play(launch, PLAYBOOKS / "stop.yml", _of(directory), None)
    judged = [_judged(directory) for directory in directories]
    print()
    for directory, outcome in zip(directories, judged, strict=True):
        print(f"{verdict_line(outcome)}\n  {directory.path}")
    # Runs that search for a rate are meant to go beyond what can be held; the one that confirms it decides.
    deciding = [outcome for outcome in judged if outcome.scenario != SEARCH] or judged
    verdicts = {outcome.verdict for outcome in deciding}
    worst = next((verdict for verdict in (Verdict.INVALID, Verdict.FAIL) if verdict in verdicts), Verdict.PASS)
    return worst.exit_code or (1 if code else 0)


def _of(directory: RunDirectory) -> list[str]:
    return [f"c100k_run_id={directory.run_id}", f"c100k_scenario={directory.read_plan()['scenario']}"]


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _judged(directory: RunDirectory) -> Run:
    return report.read(directory.path) if directory.run_json.exists() else report.write(directory)


def _play(launch: Launch, playbook: Path, extra: Sequence[str], timeout_s: float | None) -> int:
    variables = [*launch.extra, f"c100k_run_stamp={launch.stamp}", f"c100k_runs_dir={launch.runs}", *extra]
    command = [str(_ansible("ansible-playbook")), "-i", str(launch.inventory), str(playbook)]
    command += [argument for variable in variables for argument in ("-e", variable)]
    command += ["-" + "v" * launch.verbose] if launch.verbose else []
    command += [] if launch.provision else ["--skip-tags", "provision"]
    process, view = _start(command, launch)
    with view:
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            print(f"\nThe time limit of {timeout_s:,.0f} s is over; stopping the run.", file=sys.stderr, flush=True)
        except KeyboardInterrupt:
            print("\nInterrupted; stopping the run.", file=sys.stderr, flush=True)
        _interrupt(process)
        return process.returncode or 1


def _start(command: Sequence[str], launch: Launch) -> tuple[subprocess.Popen[str], AbstractContextManager[object]]:
    """The playbook, with the live view around it in a terminal, and with its plain lines everywhere else."""
    if not sys.stdout.isatty():
        plain = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL, text=True)
        return plain, nullcontext()
    colours = {} if os.environ.get("NO_COLOR") else {"ANSIBLE_FORCE_COLOR": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**os.environ, **colours},
    )
    return process, View(process, launch.runs, launch.stamp)


def _interrupt(process: subprocess.Popen[str]) -> None:
    """End the playbook and all it started: it is the leader of its own process group."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        give_up = time.monotonic() + _INTERRUPTED_WAIT_S
        while process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.1)


def host_variables(launch: Launch) -> Mapping[str, Mapping[str, Any]]:
    """The variables of every host of the inventory, with the extra ones.

    Raises:
        ScenarioError: when Ansible cannot read it.
    """
    if not launch.inventory.exists():
        raise ScenarioError(f"There is no inventory {launch.inventory}; see inventory/ for examples.")
    command = [str(_ansible("ansible-inventory")), "-i", str(launch.inventory), "--list"]
    command += [argument for variable in launch.extra for argument in ("-e", variable)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ScenarioError(f"The inventory {launch.inventory} cannot be read: {' '.join(done.stderr.split())[-300:]}")
    variables: Mapping[str, Mapping[str, Any]] = json.loads(done.stdout)["_meta"]["hostvars"]
    return variables


def _ansible(name: str) -> Path:
    return Path(sys.executable).with_name(name)

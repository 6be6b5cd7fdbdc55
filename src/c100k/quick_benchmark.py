"""The benchmark that takes no lab, no root and less than half a minute: server and generator on loopback.

What it prints is read from the files that it leaves: `results.json` of the generator, and the rows that the sampler of
the hosts takes of the server each second.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from c100k import units
from c100k.cost import server_cost
from c100k.errors import C100KError
from c100k.project import ROOT, RUNS
from c100k.raw_csv import complete_rows
from c100k.record import ProcessCost
from c100k.rules import format_number
from c100k.run_directory import RunDirectory, new_stamp
from c100k.samples import HostSamples, read_host

#: The verdict needs all of these; they are the SLA of every run.
SLA = ("p95<100ms", "errors<0.05%", "connections>=100%")

RAMP_S, SETTLE_S = 3, 2

#: Files that server and generator have open beside their connections.
RESERVED_FILES = 200

_HOST = "local"
_SAMPLER = ROOT / "collections/ansible_collections/c100k/harness/roles/sampler/files/sampler.py"
_READY_S = 15.0
_STOP_S = 15.0


class QuickBenchmarkError(C100KError):
    """The benchmark could not be carried out."""


@dataclass(frozen=True)
class QuickBenchmark:
    """What to hold and to send; as many `connections` are opened as a process may have files for."""

    connections: int = 2_000
    rate_per_s: int = 8_000
    hold_s: int = 12
    runs: Path = RUNS


def run(wanted: QuickBenchmark) -> int:
    """Measure, print the figures with the verdict, and return its exit code: 0 PASS, 1 FAIL, 3 INVALID.

    Raises:
        QuickBenchmarkError: nothing could be measured.
    """
    directory = RunDirectory(wanted.runs / f"{new_stamp()}-benchmark-quick")
    try:
        directory.host(_HOST).mkdir(parents=True)
    except OSError as error:
        raise QuickBenchmarkError(f"The directory {directory.path} cannot be made: {error.strerror}.") from None
    connections = min(wanted.connections, _room())
    rate = f"{wanted.rate_per_s:,} messages a second for {wanted.hold_s} s"
    print(f"{connections:,} connections over TCP on loopback, {rate} ...", flush=True)
    code = _measure(directory, replace(wanted, connections=connections))
    print(table(directory))
    return code


def _room() -> int:
    """How many connections the file limit has room for, in one process of the server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most <= RESERVED_FILES:
        raise QuickBenchmarkError(f"A process may open {most} files; raise the hard limit (ulimit -Hn).")
    return most - RESERVED_FILES


def _measure(directory: RunDirectory, wanted: QuickBenchmark) -> int:
    host = directory.host(_HOST)
    serve = [*_program("c100k-server"), "serve", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]
    load = [*_program("c100k-loadgen"), "run"]
    with _running(serve, host / "server.jsonl") as server:
        listening = _wait_for(lambda: _listening(host / "server.jsonl"), "c100k-server", server, host / "server.jsonl")
        sample = [sys.executable, str(_SAMPLER), "--output", str(host)]
        sample += ["--metrics", f"http://{listening['admin']}/metrics"]
        with _running(sample, host / "sampler.log") as sampler:
            # What the server takes when it is idle.
            _wait_for(lambda: _has_row(host / "server.csv"), "the sampler", sampler, host / "sampler.log")
            load += [f"tcp://{listening['tcp']}", "--connections", str(wanted.connections), "--no-reconnect"]
            load += ["--rate", str(wanted.rate_per_s), "--duration", str(wanted.hold_s)]
            load += ["--ramp", str(RAMP_S), "--settle", str(SETTLE_S)]
            load += ["--output", str(host), "--json", str(_results(directory))]
            load += ["--html", str(directory.page)]
            load += [argument for threshold in SLA for argument in ("--sla", threshold)]
            with (host / "loadgen.log").open("w") as log:
                code = subprocess.run(load, stdout=log, stderr=log, check=False).returncode
    if not _results(directory).exists():
        raise QuickBenchmarkError(f"The load generator measured nothing: {_last_line(host / 'loadgen.log')}")
    return code


def _program(name: str) -> list[str]:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise QuickBenchmarkError(f"There is no {path}; make benchmark-quick installs it.")
    return [str(path)]


@contextmanager
def _running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(look: Callable[[], Any], name: str, process: subprocess.Popen[bytes], log: Path) -> Any:
    """What `look` finds, as soon as it finds something."""
    give_up = time.monotonic() + _READY_S
    while not (found := look()):
        if process.poll() is not None or time.monotonic() > give_up:
            raise QuickBenchmarkError(f"{name} did not get ready: {_last_line(log)}")
        time.sleep(0.05)
    return found


def _listening(log: Path) -> dict[str, Any] | None:
    """The event in which the server says where it listens."""
    # What is no event is what Python says of an error.
    lines = (line for line in log.read_text().splitlines(keepends=True) if line.startswith("{") and line.endswith("\n"))
    return next((event for event in map(json.loads, lines) if event["event"] == "listening"), None)


def _has_row(path: Path) -> bool:
    return path.exists() and any(complete_rows(path))


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"


def _results(directory: RunDirectory) -> Path:
    return directory.path / "results.json"


def table(directory: RunDirectory) -> str:
    """The figures and the verdict of a benchmark, from its files."""
    results = json.loads(_results(directory).read_text())
    host = read_host(directory, _HOST)
    connections, messages, generator = results["connections"], results["messages"], results["generator"]
    counted, cost = _server(host, messages["answered"])
    rows = [
        (
            "connections held",
            f"{connections['held_min']:,} of {connections['target']:,}, by the server's count {counted}",
        ),
        ("messages answered", f"{messages['answered']:,} of {messages['intended']:,}, {messages['rate_per_s']:,.1f}/s"),
        ("response time ms", _percentiles(results["response_ms"])),
        ("errors", f"{messages['errors']:,} ({messages['error_share']:.3%})"),
        (
            "server",
            f"{format_number(cost.cpu_us_per_message, 1)} us of CPU a message, "
            f"{units.kib(cost.rss_per_connection_bytes)} a connection",
        ),
        ("load generator", f"{format_number(generator['cpu_us_per_message'], 1)} us of CPU a message"),
        ("lateness ms", _percentiles(results["slip_ms"])),
    ]
    reasons = [f"  - {reason}" for reason in results["reasons"]]
    lines = [f"{name:<19}{figures}" for name, figures in rows]
    return "\n".join([*lines, "", results["verdict"], *reasons, f"  {directory.path}"])


def _server(host: HostSamples, answered: int) -> tuple[str, ProcessCost]:
    """The fewest connections that the server counted in the hold, and what it cost."""
    held = [t for t, second in host.client.items() if second.phase == "hold"]
    hold = range(min(held, default=0), max(held, default=-1) + 1)
    least = min((second.connections for t, second in host.server.items() if t in hold), default=None)
    return format_number(least), server_cost([host], hold, answered).total


def _percentiles(figures: dict[str, float | None]) -> str:
    names = {"p50": "p50", "p95": "p95", "p99": "p99", "p999": "p99.9"}
    return "  ".join(f"{shown} {format_number(figures[name], 2)}" for name, shown in names.items())

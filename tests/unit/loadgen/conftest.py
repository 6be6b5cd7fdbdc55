"""Runs of the real command line against servers that misbehave on purpose.

A test marked `scenario` says which server and which plan it is about; these runs go on beside each other from the
start of the module, and the test waits for its own. A test that must interfere with a run starts it by itself.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
from redis_cluster import RedisCluster
from session_node import Node

_HERE = Path(__file__).parent
_EXAMPLES = _HERE.parents[2] / "server" / "examples"
_AT_ONCE = 3
_RUN_BOUND_S = 60
_PLAN = {
    "schema_version": 1,
    "run_id": "20261123T101500Z-test",
    "host": "node1",
    "connections": 20,
    "rate_per_s": 50,
    "payload_bytes": 100,
    "ramp_s": 2,
    "settle_s": 1,
    "hold_s": 2,
    "timeout_s": 1,
    "workers": 1,
}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "scenario(behaviour, **plan): needs a finished run against such a server")


class MisbehavingServer:
    """A server process, over Streamable HTTP for `http BEHAVIOUR`, and for `resumable BEHAVIOUR` with sessions that
    outlive their connections; `stop` returns what it saw."""

    def __init__(self, behaviour: str) -> None:
        kind, _, name = behaviour.rpartition(" ")
        scripts = {"http": "misbehaving_http_server.py", "resumable": "misbehaving_session_server.py"}
        script = _HERE / scripts.get(kind, "misbehaving_server.py")
        self._process = subprocess.Popen([sys.executable, str(script), name], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def stop(self) -> Counter[str]:
        self._process.terminate()
        output, _ = self._process.communicate(timeout=_RUN_BOUND_S)
        return Counter(json.loads(output))


class RealServer:
    """`c100k-server serve` with two workers, over Streamable HTTP; `stop` returns what its metrics counted.

    `options` come on top; `ports` holds those of the transports.
    """

    def __init__(self, *options: str) -> None:
        addresses = ("--http", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "c100k_server", "serve", *addresses, "--workers", "2", *options],
            stderr=subprocess.PIPE,
            text=True,
            cwd=_EXAMPLES,
        )
        assert self._process.stderr is not None
        events = (json.loads(line) for line in self._process.stderr)
        listening = next(event for event in events if event["event"] == "listening")
        self.ports = {
            name: int(listening[name].rpartition(":")[2]) for name in ("http", "tcp", "ws") if listening.get(name)
        }
        self.port = self.ports["http"]
        self._metrics = f"http://{listening['admin']}/metrics"

    def counts(self) -> Counter[str]:
        """What its metrics count now."""
        counts: Counter[str] = Counter()
        with urllib.request.urlopen(self._metrics, timeout=10) as response:
            for name, value in re.findall(r"^c100k_server_(\w+)\{.*\} (\S+)$", response.read().decode(), re.MULTILINE):
                counts[name] += int(float(value))
        return counts

    def stop(self) -> Counter[str]:
        counts = self.counts()
        self._process.terminate()
        self._process.communicate(timeout=_RUN_BOUND_S)
        return counts


class Run:
    """One `c100k-loadgen run`, and afterwards all that it left."""

    def __init__(self, directory: Path, port: int, **plan: Any) -> None:
        self.output = directory / "output"
        targets = [{"name": "node2", "address": "127.0.0.1", "port": port}]
        plan_file = directory / "plan.yml"
        plan_file.write_text(yaml.safe_dump({**_PLAN, "targets": targets, **plan}))
        self.process = subprocess.Popen(
            command("run", str(plan_file), "--output", str(self.output), "--status", "127.0.0.1:0"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.exit_code: int | None = None
        self.stderr = ""
        self.server: Counter[str] = Counter()

    def finish(self) -> Run:
        _, self.stderr = self.process.communicate(timeout=_RUN_BOUND_S)
        self.exit_code = self.process.returncode
        return self

    def wait_until(self, state: str) -> dict[str, Any]:
        """The status, once the run is in that state; asking keeps the controller's time-out away."""
        return self.wait_for(lambda status: status["state"] == state)

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        give_up_at = time.monotonic() + _RUN_BOUND_S
        while time.monotonic() < give_up_at:
            assert self.process.poll() is None, self.process.communicate()[1]
            path = self.output / "generator.json"
            if path.exists():
                address = json.loads(path.read_text())["status_address"]
                with urllib.request.urlopen(f"http://{address}/status", timeout=10) as response:
                    status: dict[str, Any] = json.load(response)
                if condition(status):
                    return status
            time.sleep(0.05)
        raise AssertionError("the run did not come that far")

    @property
    def generator(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.output / "generator.json").read_text())
        return record

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stderr.splitlines()]

    def seconds(self, phase: str | None = None) -> list[dict[str, str]]:
        return [row for row in self._rows("seconds") if phase in (None, row["phase"])]

    def total(self, column: str, phase: str | None = None) -> int:
        return sum(int(row[column]) for row in self.seconds(phase))

    def causes(self, kind: str, phase: str | None = None) -> Counter[str]:
        counts: Counter[str] = Counter()
        for row in self._rows("causes"):
            if row["kind"] == kind and phase in (None, row["phase"]):
                counts[row["cause"]] += int(row["count"])
        return counts

    def _rows(self, name: str) -> Iterator[dict[str, str]]:
        for path in sorted(self.output.glob(f"node1-w*-{name}.csv")):
            with path.open(newline="") as file:
                yield from csv.DictReader(file)

    def rows(self, name: str) -> list[dict[str, str]]:
        """All rows of one kind of file, such as `fan-out`."""
        return list(self._rows(name))

    def histogram(self, tag: str, phase: str = "*") -> HdrHistogram:
        """All intervals of the tag, merged, as HdrHistogram's own reader finds them."""
        merged = HdrHistogram(1, 3_600_000_000, 3)
        for path in self.output.glob(f"node1-w*-{phase}.hlog"):
            reader = HistogramLogReader(str(path), merged)
            while (interval := reader.get_next_interval_histogram()) is not None:
                if interval.get_tag() == tag:
                    merged.add(interval)
            reader.input_file.close()
        return merged


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "c100k_loadgen", *arguments]


def _run_to_the_end(directory: Path, plan: dict[str, Any], behaviour: str) -> Run:
    if behaviour == "absent":
        # A port that is bound by nobody who listens: connects are refused, and nobody else can take it meanwhile.
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            return Run(directory, bound.getsockname()[1], **plan).finish()
    server = RealServer() if behaviour == "c100k-server" else MisbehavingServer(behaviour)
    try:
        run = Run(directory, server.port, **plan).finish()
    finally:
        counts = server.stop()
    run.server = counts
    return run


@pytest.fixture(scope="module", autouse=True)
def scenarios(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Run]]]:
    """The runs of a module's marked tests, by their marks: tests with the same mark look at the same run."""
    runs: dict[str, Future[Run]] = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for item in request.session.items:
            mark = item.get_closest_marker("scenario")
            if item.module is request.module and mark and repr(mark) not in runs:
                directory = tmp_path_factory.mktemp("run")
                runs[repr(mark)] = pool.submit(_run_to_the_end, directory, dict(mark.kwargs), mark.args[0])
        yield runs
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def run(request: pytest.FixtureRequest, scenarios: dict[str, Future[Run]]) -> Run:
    """The finished run of the scenario that the test is marked with."""
    return scenarios[repr(request.node.get_closest_marker("scenario"))].result(timeout=2 * _RUN_BOUND_S)


@pytest.fixture
def start_run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts a run against a server that behaves, to be interfered with."""
    started: list[Run] = []
    server = MisbehavingServer("good")

    def start(name: str = "run", **plan: Any) -> Run:
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        started.append(Run(directory, server.port, **plan))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.kill()
        run.process.communicate()
    server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., RealServer | MisbehavingServer]]:
    """Starts a server: `c100k-server` with these options, or one with that misbehaviour."""
    started: list[RealServer | MisbehavingServer] = []

    def start(*options: str, behaviour: str = "") -> RealServer | MisbehavingServer:
        started.append(MisbehavingServer(behaviour) if behaviour else RealServer(*options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def nodes(redis: RedisCluster) -> Iterator[list[Node]]:
    """Three servers that share sessions."""
    started = [Node(name, redis.seeds) for name in ("a", "b", "c")]
    yield started
    for node in started:
        node.stop()


@pytest.fixture
def loadgen() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line to its end."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=_RUN_BOUND_S, check=False)

    return call


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Whether a process is no more, or will be within a few seconds."""

    def is_gone(pid: int) -> bool:
        give_up_at = time.monotonic() + 10
        while time.monotonic() < give_up_at:
            try:
                os.kill(pid, 0)
                state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            except (ProcessLookupError, FileNotFoundError):
                return True
            if state == "Z":
                return True
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
        return False

    return is_gone


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for localhost that vouches for itself, and its key."""
    directory = tmp_path_factory.mktemp("certificate")
    certificate, key = str(directory / "localhost.pem"), str(directory / "localhost.key")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*made, *subject, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key

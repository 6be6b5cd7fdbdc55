"""An SLA that is broken on purpose in a real run, watched by a real Prometheus: its alerts fire, and end with that."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from c100k import prometheus

from ..collection.processes import free_address, running, running_prometheus

RULES = Path(__file__).resolve().parents[3] / "dashboards" / "rules" / "*.yml"
BROKEN = {"C100KLatencyHigh", "C100KErrorRateHigh"}

#: A message without an answer is given up after it.
TIMEOUT_S = 2

#: The rules look back a minute at most, and an alert waits for 10 s.
DEADLINE_S = 120


class Run:
    """Server and generator on loopback, with the SLA as it is."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        clients, admin, status = (free_address() for _ in range(3))
        ours = [sys.executable, "-m"]
        serve = [*ours, "c100k_server", "serve", "--tcp", clients, "--admin", admin, "--workers", "1"]
        load = [*ours, "c100k_loadgen", "run", f"tcp://{clients}", "--connections", "20", "--rate", "50"]
        load += ["--ramp", "1", "--settle", "1", "--duration", "600", "--timeout", str(TIMEOUT_S)]
        labels = {"run": "broken-on-purpose", "host": "here"}
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {"job_name": job, "static_configs": [{"targets": [address], "labels": labels}]}
                for job, address in (("c100k-server", admin), ("c100k-loadgen", status))
            ],
        }
        server = stack.enter_context(running(serve, folder, f"http://{admin}/readyz"))
        stack.enter_context(running([*load, "--status", status, "--output", "load"], folder, f"http://{status}/status"))
        self.url = stack.enter_context(running_prometheus(folder, json.dumps(configuration)))
        self._workers = [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]
        stack.callback(self.send, signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        for pid in self._workers:
            os.kill(pid, number)

    @property
    def holds(self) -> bool:
        return bool(prometheus.query(self.url, "run:c100k_hold:min == 1 and run:c100k_response_seconds:p95 > 0"))

    @property
    def firing(self) -> set[str]:
        """The alerts of the SLA that fire."""
        found = prometheus.query(self.url, 'ALERTS{alertstate="firing",severity="sla"}')
        return {sample.labels["alertname"] for sample in found}


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with ExitStack() as stack:
        yield Run(tmp_path, stack)


def wait_until(condition: Callable[[], bool], state: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at, state()
        time.sleep(0.5)


def test_a_server_that_stalls_fires_the_alerts_of_the_sla_until_it_goes_on(run: Run) -> None:
    wait_until(lambda: run.holds, lambda: "it does not hold")
    assert run.firing == set()

    run.send(signal.SIGSTOP)
    wait_until(lambda: run.firing == BROKEN, lambda: run.firing)

    run.send(signal.SIGCONT)
    # That of errors looks back a minute, and takes so long to end.
    wait_until(lambda: "C100KLatencyHigh" not in run.firing, lambda: run.firing)
    assert run.holds

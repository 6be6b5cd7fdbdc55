"""What becomes of a run after its verdict: the real end of the playbook, a real Prometheus, and a stub of Grafana."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from c100k import prometheus, report
from c100k.record import Run
from c100k.run_directory import RunDirectory

from ..controller.conftest import HOLD, RawRun
from . import ansible_programs
from .ansible_programs import ROOT
from .grafana_stub import TOKEN, GrafanaStub, serving

DASHBOARDS = {json.loads(path.read_text())["uid"] for path in (ROOT / "dashboards").glob("*.json")}
NOBODY = "http://127.0.0.1:1"
INVENTORY: dict[str, Any] = {
    "servers": {"hosts": {}},
    "loadgens": {"hosts": {}},
    "monitoring": {"hosts": {"localhost": {"ansible_connection": "local"}}},
    "all": {"vars": {"ansible_python_interpreter": sys.executable}},
}


class End:
    """The end of a run: `playbooks/stop.yml` with the run's directory, where no hosts are left."""

    def __init__(self, home: Path, run: RunDirectory) -> None:
        self.run = run
        self._home = home
        (home / "inventory.yml").write_text(json.dumps(INVENTORY))

    def __call__(self, **given: str | bool) -> subprocess.CompletedProcess[str]:
        own = {"c100k_run_id": self.run.run_id, "c100k_runs_dir": str(self.run.path.parent)}
        return ansible_programs.run(
            "ansible-playbook",
            self._home,
            *("-i", "inventory.yml", str(ROOT / "playbooks" / "stop.yml"), "-e", json.dumps({**own, **given})),
            C100K_GRAFANA_TOKEN=TOKEN,
        )

    @property
    def judged(self) -> Run:
        return report.read(self.run.path)


@pytest.fixture
def grafana() -> Iterator[GrafanaStub]:
    with serving("12.2.0") as stub:
        yield stub


@pytest.fixture
def end(tmp_path: Path, raw_run: RawRun) -> End:
    run = raw_run.write()
    died = {"at": HOLD.start + 2, "host": "node2", "name": "outage", "kind": "silent_death", "state": "injected"}
    run.faults.write_text(json.dumps(died) + "\n")
    return End(tmp_path, run)


@contextmanager
def never_answering() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_results_phases_faults_and_dashboards_are_where_they_are_wanted(
    end: End, prometheus_url: str, grafana: GrafanaStub
) -> None:
    back_ends = {
        "c100k_metrics_push_url": prometheus_url,
        "c100k_grafana_url": grafana.url,
        "c100k_grafana_prometheus_url": prometheus_url,
    }
    done = end(**back_ends)
    assert done.returncode == 0, done.stdout + done.stderr
    assert end.judged.warnings == []
    (passed,) = prometheus.query(prometheus_url, 'c100k_run_verdict{verdict="PASS"}', end.judged.ended_at)
    assert (passed.value, passed.labels["run"]) == (1, end.run.run_id)
    assert sorted(each["text"].split()[0] for each in grafana.annotations.values()) == [
        *("hold", "ramp", "settle", "silent", "stop")
    ]
    assert grafana.data_sources["c100k"]["url"] == prometheus_url
    assert grafana.dashboards.keys() == DASHBOARDS
    assert {grafana.folders[each.folder_uid] for each in grafana.dashboards.values()} == {"c100k"}
    assert TOKEN not in done.stdout + done.stderr + "".join(
        path.read_text() for path in end.run.path.rglob("*") if path.is_file()
    )

    grafana.writes.clear()
    done = end(**back_ends)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (grafana.writes, end.judged.warnings) == ([], [])


def test_back_ends_that_are_down_are_warnings_in_the_report(end: End) -> None:
    done = end(c100k_metrics_push_url=NOBODY, c100k_grafana_url=NOBODY)
    assert done.returncode == 0, done.stdout + done.stderr
    results, shown = end.judged.warnings
    assert results.startswith("The results were not pushed to Prometheus. Push the results: ")
    assert f"Prometheus at {NOBODY} does not answer" in results
    assert shown.startswith("Grafana does not show all of the run. Mark its phases and faults: ")
    assert f"Grafana at {NOBODY} does not answer about the annotations" in shown
    assert end.judged.verdict == "PASS"
    for told in (end.run.page, end.run.markdown, end.run.summary):
        assert "The results were not pushed to Prometheus." in told.read_text(), told


def test_back_ends_that_never_answer_are_given_up(end: End) -> None:
    with never_answering() as url:
        done = end(c100k_metrics_push_url=url, c100k_grafana_url=url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(end.judged.warnings) == 2
    assert all("timed out" in warning for warning in end.judged.warnings), end.judged.warnings


def test_a_run_that_fails_is_told_too_and_fails(end: End, raw_run: RawRun, prometheus_url: str) -> None:
    plan = end.run.plan.read_text()
    end.run.plan.write_text(plan.replace("limit: 100\n", "limit: 1\n"))
    done = end(c100k_metrics_push_url=prometheus_url)
    assert done.returncode == 2, done.stdout + done.stderr
    (failed,) = prometheus.query(prometheus_url, 'c100k_run_verdict{verdict="FAIL"}', end.judged.ended_at)
    assert failed.value == 1


def test_a_watching_of_which_nothing_is_known_is_a_warning(end: End) -> None:
    done = end(c100k_monitoring=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (warning,) = end.judged.warnings
    assert warning.startswith("This run was to be watched by Prometheus, and nothing is known of that")


def test_nobody_is_told_by_default(end: End) -> None:
    done = end()
    assert done.returncode == 0, done.stdout + done.stderr
    assert end.judged.warnings == []
    assert "Push the results" not in done.stdout

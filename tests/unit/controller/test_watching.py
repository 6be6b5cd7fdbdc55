"""What watching a run took, from an answer of Prometheus; and what goes wrong beside a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from c100k import report, run_warnings, watching
from c100k.run_directory import RunDirectory, RunDirectoryError

from .conftest import HOLD, RawRun

#: The moments at which the targets were asked: one before the hold, three in it, one after.
ASKED = [HOLD.start - 2, HOLD.start + 1, HOLD.start + 4, HOLD.start + 7, HOLD.stop]


def series(name: str, job: str, host: str, values: Iterable[float]) -> dict[str, Any]:
    labels = {"__name__": name, "job": job, "host": host, "instance": "a:1", "run": "r"}
    return {"metric": labels, "values": [[t, str(value)] for t, value in zip(ASKED, values, strict=True)]}


def answer(run: RunDirectory, *result: Mapping[str, Any]) -> None:
    run.watching.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))


def cpu(job: str, host: str, *values: float) -> dict[str, Any]:
    return series("process_cpu_seconds_total", job, host, values)


def asked(job: str, host: str, *up: int) -> dict[str, Any]:
    return series("up", job, host, up)


def answers(program: str, host: str, *values: float) -> dict[str, Any]:
    return series(f"c100k_{program}_metrics_cpu_seconds_total", f"c100k-{program}", host, values)


@pytest.fixture
def run(raw_run: RawRun) -> RunDirectory:
    """A run in which Prometheus used a tenth of a processor, an exporter a hundredth, and answers five hundredths."""
    written = raw_run.write()
    answer(
        written,
        cpu("prometheus", "localhost", 0, 1, 1.3, 1.6, 9),
        cpu("node", "node1", 5, 5, 5.03, 5.06, 9),
        asked("prometheus", "localhost", 1, 1, 1, 1, 1),
        asked("c100k-server", "node1", 1, 1, 1, 1, 1),
        asked("c100k-loadgen", "node2", 1, 1, 0, 1, 1),
        answers("server", "node1", 0, 2, 2.12, 2.24, 9),
        answers("loadgen", "node2", 0, 3, 3.03, 3.06, 9),
    )
    return written


def test_the_share_of_the_machine_is_of_all_that_watches(run: RunDirectory) -> None:
    found = watching.judge(run, HOLD, "lab", {"node1": 2, "node2": 2})
    assert found is not None
    assert (found.scrapes, found.scrapes_failed) == (8, 1)
    assert found.prometheus_cores == pytest.approx(0.1)
    assert found.node_exporter_cores == pytest.approx(0.01)
    assert found.answering_cores == pytest.approx(0.04 + 0.01)
    assert found.machine_share == pytest.approx((0.1 + 0.01 + 0.05) / 2)


def test_hosts_of_their_own_are_machines_of_their_own(run: RunDirectory) -> None:
    found = watching.judge(run, HOLD, "hardware", {"node1": 4, "node2": 1})
    assert found is not None
    assert found.machine_share == pytest.approx(max((0.01 + 0.04) / 4, 0.01 / 1))
    unknown = watching.judge(run, HOLD, "hardware", {"node1": None})
    assert unknown is not None
    assert unknown.machine_share is None


def test_a_counter_that_began_anew_has_not_fallen(run: RunDirectory) -> None:
    answer(run, cpu("prometheus", "localhost", 9, 9, 0.6, 1.2, 9))
    found = watching.judge(run, HOLD, "lab", {"node1": 2})
    assert found is not None
    assert found.prometheus_cores == pytest.approx(1.2 / 6)
    assert (found.node_exporter_cores, found.answering_cores) == (None, None)


def test_no_share_is_claimed_without_what_the_answers_took(run: RunDirectory) -> None:
    answer(run, cpu("prometheus", "localhost", 0, 1, 1.3, 1.6, 9), asked("c100k-server", "node1", 1, 1, 1, 1, 1))
    found = watching.judge(run, HOLD, "lab", {"node1": 2})
    assert found is not None
    assert found.prometheus_cores == pytest.approx(0.1)
    assert (found.answering_cores, found.machine_share) == (None, None)
    assert report.write(run).monitoring is not None
    assert "watching     unknown of the processors" in run.summary.read_text()


def test_what_is_not_known_is_none(run: RunDirectory) -> None:
    assert watching.judge(run, range(0), "lab", {"node1": 2}) is None
    answer(run)
    empty = watching.judge(run, HOLD, "lab", {"node1": 2})
    assert empty is not None
    assert (empty.scrapes, empty.prometheus_cores, empty.machine_share) == (0, None, None)
    run.watching.write_text('{"status": "error"}')
    with pytest.raises(RunDirectoryError, match=r"watching\.json does not hold an answer of Prometheus"):
        watching.judge(run, HOLD, "lab", {})
    run.watching.unlink()
    assert watching.judge(run, HOLD, "lab", {}) is None


def test_it_is_in_the_report_and_judged_by_no_rule(run: RunDirectory) -> None:
    (run.host("node1") / "facts.json").write_text(json.dumps({"cores": 2}))
    judged = report.write(run)
    assert judged.verdict == "PASS"
    assert judged.monitoring is not None
    assert "That took 8.00% of the machine" in run.page.read_text()
    said = "watching     8.00% of the processors; Prometheus took 0.100 of one, node_exporter 0.010, answers 0.050"
    assert said in run.summary.read_text()


def test_warnings_are_told_before_and_after_the_verdict(raw_run: RawRun) -> None:
    run = raw_run.write()
    report.warn(run, "Not watched: <no Prometheus>")
    assert not run.run_json.exists()
    judged = report.write(run)
    assert (judged.verdict, judged.warnings) == ("PASS", ["Not watched: <no Prometheus>"])

    report.warn(run, "Not pushed")
    report.warn(run, "Not pushed")
    with run.warnings.open("a") as cut_short:
        cut_short.write('{"at": 1, "mess')
    assert report.read(run.path).warnings == run_warnings.read(run) == ["Not watched: <no Prometheus>", "Not pushed"]
    assert "<li>Not watched: &lt;no Prometheus&gt;</li>\n<li>Not pushed</li>" in run.page.read_text()
    assert "- Warning: Not pushed" in run.markdown.read_text()
    assert "  ! Not pushed" in run.summary.read_text()
    assert report.write(run).warnings == ["Not watched: <no Prometheus>", "Not pushed"]

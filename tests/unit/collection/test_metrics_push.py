"""The results of a run, pushed by `ansible` into a real Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from c100k import prometheus, remote_write, report

from ..controller.conftest import START, RawRun
from .conftest import AdHoc
from .processes import free_address, running

RUN_ID = "20261118T110000Z-load"
NOBODY = "http://127.0.0.1:1"

Push = Callable[..., dict[str, Any]]


@pytest.fixture
def run_dir(raw_run: RawRun) -> str:
    run = raw_run.write()
    report.write(run)
    return str(run.path)


@pytest.fixture
def push(ad_hoc: AdHoc, run_dir: str) -> Push:
    return lambda url, *options: ad_hoc("metrics_push", {"run_dir": run_dir, "prometheus_url": url}, *options)


def value(url: str, expression: str, at: float) -> float:
    (sample,) = prometheus.query(url, expression, at)
    return sample.value


def test_prometheus_returns_the_figures_of_the_run(push: Push, prometheus_url: str, run_dir: str) -> None:
    done = push(prometheus_url)
    assert done["changed"]
    run = report.read(Path(run_dir))
    assert done["at"] == run.ended_at
    of_run = f'run="{RUN_ID}",scenario="load"'
    for figure, expected in (
        ("latency_ms.p95", run.latency_ms.p95),
        ("connections.held_min", 200),
        ("messages.error_rate", 0),
        ("server.by_host.node1.rss_bytes", run.server.by_host["node1"].rss_bytes),
        ("kernel.conntrack_full", 0),
    ):
        found = value(prometheus_url, f'c100k_run_figure{{{of_run},figure="{figure}"}}', done["at"])
        assert found == expected, figure
    rule = f'{of_run},kind="sla",rule="p95 response time (ms)",metric="latency_ms.p95",op="<"'
    assert value(prometheus_url, f"c100k_run_rule_passed{{{rule}}}", done["at"]) == 1
    assert value(prometheus_url, f"c100k_run_rule_actual{{{rule}}}", done["at"]) == run.latency_ms.p95
    assert value(prometheus_url, f"c100k_run_rule_limit{{{rule}}}", done["at"]) == 100
    verdicts = prometheus.query(prometheus_url, "c100k_run_verdict", done["at"])
    assert {sample.labels["verdict"]: sample.value for sample in verdicts} == {"PASS": 1, "FAIL": 0, "INVALID": 0}
    # It is the same long after, with the range in which the run was.
    later = "last_over_time(c100k_run_verdict{verdict='PASS'}[1d])"
    assert value(prometheus_url, later, done["at"] + 3600) == 1
    everything = value(prometheus_url, 'count({__name__=~"c100k_run_.+"})', done["at"])
    assert everything == done["pushed"] > 50


def test_results_are_pushed_once(push: Push, prometheus_url: str, ad_hoc: AdHoc) -> None:
    first = push(prometheus_url, "--check", "--diff")
    assert first["changed"]
    assert f'+c100k_run_verdict{{run="{RUN_ID}", scenario="load", verdict="PASS"}} 1' in ad_hoc.stdout
    assert prometheus.query(prometheus_url, "c100k_run_verdict", first["at"]) == []

    assert push(prometheus_url)["pushed"] == first["pushed"]
    again = push(prometheus_url)
    assert (again["changed"], again["pushed"]) == (False, 0)


def test_other_results_of_the_same_run_are_refused(
    push: Push, prometheus_url: str, run_dir: str, raw_run: RawRun
) -> None:
    push(prometheus_url)
    judged = Path(run_dir) / "run.json"
    judged.write_text(judged.read_text().replace('"verdict": "PASS"', '"verdict": "FAIL"'))
    done = push(prometheus_url)
    assert done["failed"]
    assert f"has other results of {RUN_ID} already, such as c100k_run_verdict{{" in done["msg"]
    assert done["msg"].endswith("It never changes a sample: delete the series of this run first.")


def test_every_fault_has_its_figures(ad_hoc: AdHoc, prometheus_url: str, raw_run: RawRun) -> None:
    run = raw_run.write()
    lines = (
        f'{{"at": {START + at}, "host": "{host}", "name": "outage", "kind": "crash", "state": "injected"}}\n'
        for at, host in ((4, "node1"), (8, "node2"))
    )
    run.faults.write_text("".join(lines))
    report.write(run)
    done = ad_hoc("metrics_push", {"run_dir": str(run.path), "prometheus_url": prometheus_url})
    found = prometheus.query(prometheus_url, 'c100k_run_figure{figure="recovery.injected_at"}', done["at"])
    assert {sample.labels["entry"]: sample.value for sample in found} == {"1": START + 4, "2": START + 8}


def test_what_goes_wrong_is_a_sentence(push: Push, tmp_path: Path, run_dir: str) -> None:
    done = push(NOBODY)
    assert done["failed"]
    assert f"Prometheus at {NOBODY} does not answer" in done["msg"]

    address = free_address()
    (tmp_path / "nothing.yml").write_text("{}")
    command = [prometheus.program("prometheus"), f"--config.file={tmp_path / 'nothing.yml'}"]
    command += [f"--storage.tsdb.path={tmp_path / 'closed'}", f"--web.listen-address={address}"]
    with running(command, tmp_path, f"http://{address}/-/ready"):
        done = push(f"http://{address}")
        assert done["failed"]
        assert "refuses the samples: remote write receiver needs to be enabled" in done["msg"]


def test_a_large_request_is_in_order(prometheus_url: str) -> None:
    """More than one literal of Snappy holds."""
    points = [
        remote_write.Point("large", {"number": str(number), "text": "ü" * 500}, number / 3, START * 1000)
        for number in range(300)
    ]
    remote_write.write(prometheus_url, points, 5)
    found = prometheus.query(prometheus_url, "large", START)
    assert {sample.labels["number"]: sample.value for sample in found} == {
        str(number): number / 3 for number in range(300)
    }
    with pytest.raises(prometheus.PrometheusError, match="out of bounds"):
        remote_write.write(prometheus_url, [remote_write.Point("old", {}, 1, (START - 86_400) * 1000)], 5)

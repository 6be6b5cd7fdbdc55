"""A run that is stopped, starved or watched from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hdrh.histogram import HdrHistogram
from prometheus_client.parser import text_string_to_metric_families

from c100k_loadgen.results import read_results

if TYPE_CHECKING:
    from tests.unit.loadgen.conftest import Run

StartRun = Callable[..., "Run"]


def test_status_and_a_killed_worker(start_run: StartRun) -> None:
    run = start_run(workers=2, hold_s=3)
    status = run.wait_for(lambda status: status["state"] == "hold" and status["last_second"]["answered"] == 50)
    check_status(run, status)
    os.kill(status["workers"][1]["pid"], signal.SIGKILL)
    after = run.wait_for(lambda status: not status["workers"][1]["alive"])
    assert after["workers"][0]["alive"]
    run.finish()
    assert run.exit_code == 1
    generator = run.generator
    first, second = generator["workers"]
    assert generator["stop_reason"] == "completed"
    assert (first["exit_code"], first["died_at"]) == (0, None)
    assert (second["exit_code"], second["phase"]) == (-9, "hold")
    assert generator["started_at"] < second["died_at"] < generator["ended_at"]
    assert [event["exit_code"] for event in run.events if event["event"] == "worker_died"] == [-9]
    assert read_results(run.output).doubts == ["1 of 2 worker processes died"]
    held = [row for row in run.seconds("hold") if (row["intended"], row["sent"]) == ("25", "25")]
    assert 3 <= len(held) < 2 * 3, "the one that lives has all its seconds, the dead one those until then"


def check_status(run: Run, status: dict[str, Any]) -> None:
    assert (status["run_id"], status["host"]) == ("20261123T101500Z-test", "node1")
    assert (status["target"], status["connected"]) == (20, 20)
    plan = run.generator["plan"]
    ends_at = plan["start_at"] + plan["ramp_s"] + plan["settle_s"] + plan["hold_s"]
    assert status["ends_at"] == status["phase_ends_at"] == ends_at
    assert status["sent"] >= 50
    assert (status["errors"], status["timeouts"], status["closed"], status["connect_errors"]) == (0, 0, 0, 0)
    second = HdrHistogram.decode(status["last_second"]["response_hdr"])
    assert second.get_total_count() == 50
    assert [worker["index"] for worker in status["workers"]] == [0, 1]
    address = run.generator["status_address"]
    check_metrics(address, status)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{address}/statuses", timeout=5)
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(f"http://{address}/status", data=b"{}", timeout=5)


def check_metrics(address: str, status: dict[str, Any]) -> None:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {each.name: each for each in text_string_to_metric_families(response.read().decode())}
    assert all(each.documentation and each.type != "unknown" for each in families.values())
    values = {name: each.samples[0].value for name, each in families.items()}
    assert (values["c100k_loadgen_target_connections"], values["c100k_loadgen_connections"]) == (20, 20)
    assert values["c100k_loadgen_messages_sent"] >= status["sent"]
    assert families["c100k_loadgen_run_info"].samples[0].labels == {"run_id": status["run_id"], "host": "node1"}
    phases = families["c100k_loadgen_phase"].samples
    assert [each.labels["phase"] for each in phases if each.value] == ["hold"]
    assert [each.labels["worker"] for each in families["c100k_loadgen_worker_up"].samples] == ["0", "1"]
    times = families["c100k_loadgen_response_seconds"].samples
    buckets = [each.value for each in times if each.name.endswith("_bucket")]
    count, total = (next(each.value for each in times if each.name.endswith(end)) for end in ("_count", "_sum"))
    assert buckets == sorted(buckets)
    assert buckets[-1] == count >= 50
    assert 0 < total < count


def test_signals_in_the_ramp_end_a_run_in_good_order(start_run: StartRun) -> None:
    runs = {number: start_run(number.name, workers=2, ramp_s=20) for number in (signal.SIGTERM, signal.SIGINT)}
    for number, run in runs.items():
        run.wait_for(lambda status: status["connected"] > 0)
        run.process.send_signal(number)
    for run in runs.values():
        run.finish()
        assert run.exit_code == 1
        assert run.generator["stop_reason"] == "signal"
        assert [worker["exit_code"] for worker in run.generator["workers"]] == [0, 0]
        assert run.causes("close").keys() == {"stop"}
        assert 0 < run.total("opened") == run.total("closed") < 20
        assert run.seconds()[-1]["phase"] == "stop"


@pytest.mark.scenario("good", ramp_s=1, hold_s=300, controller_timeout_s=3)
def test_it_stops_when_nobody_asks_for_the_status(run: Run) -> None:
    assert run.exit_code == 1
    assert run.generator["stop_reason"] == "controller_vanished"
    assert run.generator["ended_at"] - run.generator["started_at"] >= 3
    assert run.total("opened") == run.causes("close")["stop"] == 20


def test_a_scraper_of_metrics_is_not_the_controller(start_run: StartRun) -> None:
    run = start_run(hold_s=300, controller_timeout_s=2)
    run.wait_until("hold")
    address = run.generator["status_address"]
    scrapes = 0
    while run.process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as response:
            scrapes += response.status == 200
        time.sleep(0.2)
    run.finish()
    assert scrapes >= 3
    assert run.generator["stop_reason"] == "controller_vanished"


def test_workers_stop_when_their_parent_is_killed(start_run: StartRun, gone: Callable[[int], bool]) -> None:
    run = start_run(workers=2, hold_s=300)
    workers = [worker["pid"] for worker in run.wait_until("hold")["workers"]]
    run.process.kill()
    run.process.communicate()
    assert [gone(pid) for pid in workers] == [True, True]
    assert run.total("opened") == run.causes("close")["stop"] == 20, "they closed and wrote what was left"


def test_a_paused_worker_sends_late_but_sends_all(start_run: StartRun) -> None:
    run = start_run(hold_s=4, timeout_s=8)
    pid = run.wait_until("hold")["workers"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2)
    os.kill(pid, signal.SIGCONT)
    assert run.finish().exit_code == 0
    assert run.total("intended", "hold") == 4 * 50
    assert run.total("sent") == run.total("answered") == 5 * 50
    assert run.histogram("slip").get_max_value() > 1_500_000
    assert run.histogram("response").get_max_value() > 1_500_000
    assert run.histogram("response").get_value_at_percentile(85) > 200_000, "it counts from the intended send"
    assert run.histogram("service").get_value_at_percentile(85) < 200_000, "and this from the actual one"
    assert max(float(row["loop_lag_max_ms"]) for row in run.seconds()) > 1_500
    seconds = [int(row["t"]) for row in run.seconds()]
    assert seconds == list(range(seconds[0], seconds[-1] + 1)), "no second has no row"
    assert any("the generator itself was late" in doubt for doubt in read_results(run.output).doubts)


def test_an_output_directory_is_used_once(start_run: StartRun) -> None:
    first = start_run(ramp_s=20)
    first.wait_for(lambda status: True)
    before = json.loads((first.output / "generator.json").read_text())
    second = start_run(ramp_s=20).finish()
    assert second.exit_code == 2
    assert "already holds a run" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    assert first.generator["started_at"] == before["started_at"]

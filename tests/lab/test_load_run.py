"""The main job at small scale, on four real hosts: a run that passes, and runs that are broken on purpose."""

from __future__ import annotations

import csv
import json
import signal
import time
from collections import defaultdict

import pytest

from .conftest import Finished, Harness

pytestmark = pytest.mark.lab

SMALL = ("-e", "c100k_connections=2000", "-e", "c100k_rate_per_s=400", "-e", "c100k_ramp_s=4", "-e", "c100k_settle_s=4")
HOLD = ("-e", "c100k_hold_s=20", "-e", "c100k_lead_s=25")
# What breaks at its beginning need not be held for long.
BRIEF = ("-e", "c100k_hold_s=10", "-e", "c100k_lead_s=25")


@pytest.fixture(scope="module")
def small_run(harness: Harness) -> Finished:
    """A run that nothing disturbs. It provisions the hosts, for all that come after it."""
    return harness.run(*SMALL, *HOLD)


def test_a_small_run_passes_and_says_that_it_is_small(small_run: Finished) -> None:
    finished = small_run
    assert finished.code == 0, finished.output
    assert "PASS: 2,000 of 2,000 connections held for 20 s (scaled down" in finished.output
    assert "connected" in finished.output
    connections, messages = finished.run["connections"], finished.run["messages"]
    assert connections["peak"] == connections["held_min"] == 2000
    assert connections["unexplained_closes"] == 0
    assert messages["intended"] == messages["answered"] == 400 * 20
    assert finished.run["ledger"]["disagreement"] == 0
    assert finished.run["server"]["total"]["cpu_us_per_message"] > 0
    assert (finished.directory / "junit.xml").exists()

    by_second: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in csv.DictReader((finished.directory / "ledger.csv").read_text().splitlines()):
        by_second[row["t"]].append(row)
    full = [rows for rows in by_second.values() if sum(int(row["client"] or 0) for row in rows) == 2000]
    assert len(full) >= 20
    assert all(len(rows) == 4 for rows in full)


@pytest.mark.usefixtures("small_run")
def test_provisioning_again_changes_nothing(harness: Harness) -> None:
    recap = harness.playbook("provision.yml", *SMALL, *HOLD).split("PLAY RECAP")[1]
    assert recap.count("changed=0") == recap.count("ok="), recap


@pytest.mark.usefixtures("small_run")
def test_a_generator_worker_that_is_killed_makes_the_run_invalid(harness: Harness) -> None:
    def kill() -> None:
        status = harness.status(3)
        assert status is not None
        harness.ssh(3, f"kill -9 {status['workers'][0]['pid']}")

    finished = harness.run("--provisioned", *SMALL, *BRIEF, during=kill)
    assert finished.code == 3, finished.output
    assert finished.run["verdict"] == "INVALID"
    assert any("node3: generator worker 0" in reason and "SIGKILL" in reason for reason in finished.run["reasons"])


@pytest.mark.usefixtures("small_run")
def test_a_server_worker_that_is_killed_fails_the_run(harness: Harness) -> None:
    def kill() -> None:
        worker = harness.ssh(2, "pgrep -P $(systemctl show -P MainPID c100k-server) | head -1").strip()
        harness.ssh(2, f"kill -9 {worker}")

    finished = harness.run("--provisioned", *SMALL, *BRIEF, during=kill)
    assert finished.code == 1, finished.output
    reasons = finished.run["reasons"]
    assert any("node2: server worker" in reason and "SIGKILL" in reason for reason in reasons), reasons
    assert any("at node2 in the hold phase, where server worker" in reason for reason in reasons), reasons
    assert finished.run["connections"]["unexplained_closes"] > 100


@pytest.mark.long
@pytest.mark.usefixtures("small_run")
def test_a_server_that_stalls_shows_in_the_percentiles(harness: Harness) -> None:
    def stall() -> None:
        workers = harness.ssh(2, "pgrep -P $(systemctl show -P MainPID c100k-server)").split()
        harness.ssh(2, f"kill -STOP {' '.join(workers)}")
        time.sleep(6)
        harness.ssh(2, f"kill -CONT {' '.join(workers)}")

    finished = harness.run("--provisioned", *SMALL, *HOLD, during=stall)
    assert finished.code == 1, finished.output
    latency, messages = finished.run["latency_ms"], finished.run["messages"]
    assert 5500 < latency["max"] < 9000
    assert (
        latency["p95"] > 500
    )  # a quarter of the messages waited in 6 of 20 seconds: coordinated omission would hide it
    assert messages["sent"] == messages["intended"]
    assert finished.run["connections"]["unexplained_closes"] == 0


@pytest.mark.usefixtures("small_run")
def test_ctrl_c_in_the_ramp_leaves_clean_hosts_and_keeps_what_was_measured(harness: Harness) -> None:
    with harness.started("--provisioned", *SMALL, *HOLD, "-e", "c100k_ramp_s=30") as process:
        harness.wait_for("ramp")
        time.sleep(5)
        process.send_signal(signal.SIGINT)
        finished = harness.finish(process)
    assert finished.code == 3, finished.output
    assert finished.run["verdict"] == "INVALID"
    assert finished.run["connections"]["peak"] > 0
    for node in range(1, 5):
        units = harness.ssh(node, "systemctl list-units --plain --no-legend 'c100k-loadgen@*' 'c100k-sampler@*'")
        assert units.strip() == ""
        assert harness.ssh(node, "ls /var/lib/c100k/runs").strip() == ""


@pytest.mark.long
@pytest.mark.usefixtures("small_run")
def test_a_server_that_is_not_there_is_counted_under_its_cause(harness: Harness) -> None:
    def stop() -> None:
        harness.ssh(2, "systemctl stop c100k-server")

    with harness.started("--provisioned", *SMALL, *HOLD) as process:
        harness.wait_for("wait")
        stop()
        finished = harness.finish(process)
    assert finished.code in (1, 3), finished.output
    assert finished.run["connections"]["connect_error_causes"]["refused"] > 0
    assert finished.run["connections"]["peak"] < 2000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("-e", "c100k_conections=10"), "did you mean c100k_connections?"),
        (("-e", "c100k_connections=many"), "c100k_connections"),
        (("-e", "c100k_connections=20000000"), "GiB"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(
    harness: Harness, arguments: tuple[str, ...], complaint: str
) -> None:
    with harness.started(*arguments) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert complaint in output
    assert "Traceback" not in output


def test_an_unreachable_host_is_told_in_the_table(harness: Harness) -> None:
    with harness.started("-e", '{"ansible_host": "10.112.0.99"}') as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 2, output
    assert "node1" in output
    assert "unreachable" in output


@pytest.mark.usefixtures("small_run")
def test_revert_restores_every_value_to_the_letter(harness: Harness) -> None:
    keys = "net.core.somaxconn net.ipv4.ip_local_port_range net.ipv4.tcp_max_syn_backlog"
    tuned = json.dumps(harness.ssh(1, f"sysctl {keys}"))
    harness.playbook("revert.yml")
    reverted = json.dumps(harness.ssh(1, f"sysctl {keys}"))
    assert reverted != tuned
    assert harness.ssh(1, "ls /etc/sysctl.d | grep c100k || true").strip() == ""
    harness.playbook("provision.yml")
    assert json.dumps(harness.ssh(1, f"sysctl {keys}")) == tuned

"""A lab of its own, made, broken, repaired and removed, with the kernel asked each time what there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from c100k.lab import LabConfig, LabStatus, down, prepare, status, up
from c100k.lab import cgroups as lab_cgroups
from c100k.lab.errors import AddressInUseError, LabChangedError
from c100k.lab.host_settings import PROC_SYS, RECORD_FOLDER, WANTED, namespace_record
from c100k.lab.machines import machine_processes, supervisors

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="the lab needs Linux and root"),
]

CONFIG = LabConfig(name="lifecycle", subnet="10.114.0.0/24", nodes=("node1", "node2"))

# Brings the lab up and says where it is; the test kills it at one of these lines.
UP = """
from c100k.lab import LabConfig, up
config = LabConfig(name="lifecycle", subnet="10.114.0.0/24", nodes=("node1", "node2"))
up(config, lambda line: print(line, flush=True))
"""

# In a network namespace of its own, with connection tracking switched on, and bridged traffic sent through the firewall
# while the lab is up: dockerd does both.
RULES = """
table inet filter {
    chain in {
        type filter hook prerouting priority 0
        ip saddr 10.114.0.11 ip daddr 10.114.0.12 ct state untracked counter
        ip saddr 10.114.0.11 ip daddr 10.114.0.12 ct state new,established counter
    }
    chain out { type filter hook output priority 0; ct state new accept; }
}
"""
UP_WITH_CONNTRACK = """
import subprocess, sys
from pathlib import Path
from c100k.lab import LabConfig, down, up
config = LabConfig(name="lifecycle", subnet="10.114.0.0/24", nodes=("node1", "node2"))
setting = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["nft", "--file", "-"], input=sys.argv[1], text=True, check=True)
try:
    up(config, print)
    if setting.exists():
        setting.write_text("1")
    subprocess.run(["ssh", "-F", str(config.ssh_config), "node1", "ping -c 3 -i 0.1 node2"], check=True)
    print(subprocess.run(["nft", "list", "ruleset"], check=True, capture_output=True, text=True).stdout)
finally:
    down(config, print)
print("AFTER", subprocess.run(["nft", "list", "tables"], check=True, capture_output=True, text=True).stdout)
"""


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def footprint() -> dict[str, Sequence[object]]:
    """All that the host has of this test's lab."""
    mine = ("lifecycle", "10.114.0.")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    links = subprocess.run(["ip", "-brief", "address"], capture_output=True, text=True, check=True).stdout.splitlines()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout.splitlines()
    processes = [pid for node in CONFIG.nodes for pid in machine_processes(CONFIG, node)]
    groups = [str(path) for hierarchy in lab_cgroups.hierarchies() for path in hierarchy.glob("**/*lifecycle*")]
    top_groups = sorted(
        str(path)
        for hierarchy in lab_cgroups.hierarchies()
        for path in hierarchy.iterdir()
        if path.name in ("payload", "supervisor")
    )
    runtime = [str(path) for folder in ("nspawn", "machines") for path in Path("/run/systemd", folder).glob("**/*")]
    return {
        "mounts": [line for line in mounts if any(word in line for word in mine)],
        "links": [line for line in links if any(word in line for word in mine)],
        "tables": [line for line in tables if any(word in line for word in mine)],
        "processes": processes,
        "control groups": groups + top_groups,
        "namespaces": [line for line in _namespaces() if "lifecycle" in line],
        "records": [path for path in RECORD_FOLDER.glob("*.json") if "lifecycle" in path.read_text()],
        "runtime": [path for path in runtime if "lifecycle" in path],
        "files": [str(path) for path in CONFIG.state_dir.parent.glob("lifecycle*")],
    }


def settings() -> dict[str, str] | None:
    """The host's settings, or None while another lab needs them changed."""
    if namespace_record().exists():
        return None
    return {name: (PROC_SYS / name).read_text() for name in WANTED if (PROC_SYS / name).exists()}


def _namespaces() -> list[str]:
    argv = ["lsns", "--noheadings", "--output", "TYPE,COMMAND"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.fixture(scope="module", autouse=True)
def image() -> Path:
    """Built before anything is timed or killed."""
    return prepare(CONFIG, print)


@pytest.fixture
def clean_host() -> Iterator[None]:
    """The host after each test is the host before it."""
    down(CONFIG, quiet)
    nothing: dict[str, Sequence[object]] = {what: [] for what in footprint()}
    assert footprint() == nothing
    before = settings()
    yield
    down(CONFIG, quiet)
    assert footprint() == nothing
    after = settings()
    assert before == after or None in (before, after)


def ssh(node: str, command: str) -> str:
    argv = ["ssh", "-F", str(CONFIG.ssh_config), node, command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


def pids(of: LabStatus) -> list[int | None]:
    return [node.pid for node in of.nodes]


@pytest.mark.usefixtures("clean_host")
def test_up_is_reached_over_ssh_and_a_second_up_changes_nothing() -> None:
    first = up(CONFIG, quiet)
    assert first.state == "up"
    assert [ssh(node, "hostname") for node in CONFIG.nodes] == list(CONFIG.nodes)
    assert ssh("node1", "getent hosts node2").split() == ["10.114.0.12", "node2"]
    assert "1 received" in ssh("node1", "ping -c 1 -W 2 node2")
    assert ssh("node1", "cat /etc/machine-id") != ssh("node2", "cat /etc/machine-id")
    assert ssh("node1", "systemctl --failed --no-legend") == ""
    assert ssh("node1", "systemctl is-enabled redis-server || true") == "disabled"
    boots = [ssh(node, "ps -o lstart= -p 1") for node in CONFIG.nodes]

    # What one machine's systemd stops must not be another's: they share the host's control groups.
    ssh("node1", "systemctl stop prometheus-node-exporter")
    assert ssh("node2", "pgrep -c prometheus") == "1"

    ssh("node1", "echo kept > /root/kept")
    files = {path: path.stat().st_mtime_ns for path in CONFIG.state_dir.glob("*") if path.name != "lab.json"}
    heard: list[str] = []
    second = up(CONFIG, heard.append)
    assert second == first
    assert heard == ["lab lifecycle: 2 machines are up"]
    assert [ssh(node, "ps -o lstart= -p 1") for node in CONFIG.nodes] == boots
    assert ssh("node1", "cat /root/kept") == "kept"
    assert files == {path: path.stat().st_mtime_ns for path in CONFIG.state_dir.glob("*") if path.name != "lab.json"}

    with pytest.raises(AddressInUseError, match="interface lifecycle-br"):
        up(LabConfig(name="lifecycle2", subnet="10.114.0.128/25"), quiet)
    with pytest.raises(LabChangedError):
        up(LabConfig(name="lifecycle", subnet="10.114.0.0/24"), quiet)

    down(CONFIG, quiet)
    assert status(CONFIG).state == "down"


@pytest.mark.usefixtures("clean_host")
def test_up_repairs_a_killed_supervisor_and_a_machine_that_lets_nobody_in() -> None:
    before = up(CONFIG, quiet)
    victim = before.nodes[0].pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    while supervisors(CONFIG, "node1"):
        time.sleep(0.01)
    assert machine_processes(CONFIG, "node1"), (
        "the payload of a killed supervisor lives on: that is what up must handle"
    )
    assert status(CONFIG).state == "partial"
    after = up(CONFIG, quiet)
    assert after.state == "up"
    assert after.nodes[1].pid == before.nodes[1].pid
    assert ssh("node1", "systemctl is-system-running") == "running"

    ssh("node2", "systemctl stop ssh.socket ssh.service || true")
    repaired = up(CONFIG, quiet)
    assert repaired.nodes[0].pid == after.nodes[0].pid
    assert ssh("node2", "hostname") == "node2"


@pytest.mark.parametrize("line", [1, 2, 3])
@pytest.mark.parametrize("delay_s", [0, 0.3])
@pytest.mark.usefixtures("clean_host")
def test_a_killed_up_is_undone_by_down(line: int, delay_s: float) -> None:
    kill_up(line, delay_s)
    down(CONFIG, quiet)


@pytest.mark.usefixtures("clean_host")
def test_a_killed_up_is_completed_by_up() -> None:
    kill_up(1, 0)
    assert up(CONFIG, quiet).state == "up"
    assert [ssh(node, "hostname") for node in CONFIG.nodes] == list(CONFIG.nodes)


def kill_up(line: int, delay_s: float) -> None:
    """Start `up` in a process and SIGKILL it a while after its n-th line of progress."""
    with subprocess.Popen([sys.executable, "-c", UP], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(line):
            process.stdout.readline()
        time.sleep(delay_s)
        process.kill()


@pytest.mark.usefixtures("clean_host")
def test_down_without_a_record_finds_everything_by_name() -> None:
    up(CONFIG, quiet)
    for name in ("lab.json", "ssh_config", "known_hosts"):
        (CONFIG.state_dir / name).unlink()
    down(LabConfig(name="lifecycle", nodes=("other",)), quiet)
    assert status(CONFIG).state == "down"


@pytest.mark.usefixtures("clean_host")
def test_traffic_between_nodes_stays_out_of_the_hosts_connection_table() -> None:
    argv = ["unshare", "--net", sys.executable, "-c", UP_WITH_CONNTRACK, RULES]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    during, _, after = done.stdout.partition("AFTER")
    assert "table bridge c100k-lab-lifecycle" in during
    assert "c100k-lab-lifecycle" not in after
    untracked, tracked = (int(rest.split()[0]) for rest in during.split("counter packets ")[1:])
    assert tracked == 0
    if all((PROC_SYS / name).exists() for name in WANTED):
        assert untracked >= 3, "the echo requests went through the host's firewall, untracked"


def test_the_record_names_the_host_settings_while_a_lab_is_up(clean_host: None) -> None:
    up(CONFIG, quiet)
    there = [name for name in WANTED if (PROC_SYS / name).exists()]
    assert all((PROC_SYS / name).read_text().strip() == WANTED[name] for name in there)
    records = [json.loads(path.read_text()) for path in RECORD_FOLDER.glob("*.json")]
    assert any(record["labs"].get("lifecycle") == "lifecycle-br" for record in records)

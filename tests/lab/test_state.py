"""A Redis Cluster over four real hosts: formed, left alone, broken, and made whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from c100k import lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="the lab needs Linux and root"),
]

ROOT = Path(__file__).parents[2]
CONFIG = lab.LabConfig(name="state", subnet="10.114.0.0/24")
MASTER, REPLICA = 7010, 7011

RECORD = """
- hosts: state
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: c100k.harness.state
        tasks_from: record
"""


class StateHosts:
    """The lab of this test, with the playbook under test and a way to ask the instances."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"

    def playbook(self, path: Path, *arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(path)]
        variables = {
            "c100k_lab_name": CONFIG.name,
            "c100k_lab_subnet": CONFIG.subnet,
            "state_secrets_dir": str(self.secrets),
        }
        command += ["-e", json.dumps(variables), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def swarm_init(self) -> str:
        """The summary of the play over all hosts."""
        return self.playbook(ROOT / "playbooks" / "swarm-init.yml").split("PLAY RECAP")[1]

    def record(self) -> dict[str, Any]:
        """What a run would keep of the cluster."""
        playbook = self.folder / "record.yml"
        playbook.write_text(RECORD)
        self.playbook(playbook, "-e", f"state_run_directory={self.folder}")
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    @staticmethod
    def ssh(node: int, command: str) -> str:
        argv = ["ssh", "-F", str(CONFIG.ssh_config), f"node{node}", command]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    def redis(self, node: int, port: int, words: str) -> str:
        """The answer to a command, which follows the cluster's redirections, or the reason why there is none."""
        password = (self.secrets / "operator").read_text().strip()
        address = f"10.114.0.{10 + node}"
        client = f"REDISCLI_AUTH={password} redis-cli --no-auth-warning --user operator -c -h {address} -p {port}"
        return self.ssh(1, f"{client} {words} 2>&1 || true")


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StateHosts]:
    lab.up(CONFIG, print)
    yield StateHosts(tmp_path_factory.mktemp("state"))
    lab.down(CONFIG, print)


def test_a_cluster_is_formed_survives_a_dead_master_and_is_made_whole(hosts: StateHosts) -> None:
    hosts.swarm_init()
    again = hosts.swarm_init()
    assert again.count("changed=0") == again.count("ok=") == 4, again
    assert hosts.ssh(1, "systemctl is-enabled redis-server || true") == "disabled"
    assert "NOAUTH" in hosts.ssh(1, f"redis-cli -h 10.114.0.11 -p {MASTER} ping")

    # `{...}` decides the slot: this one belongs to node2.
    key = next(f"{{{n}}}" for n in range(99) if 4096 <= int(hosts.redis(1, MASTER, f"cluster keyslot {n}")) < 8192)
    assert hosts.redis(1, MASTER, f"set {key} kept") == "OK"
    assert hosts.redis(2, MASTER, "wait 1 5000") == "1"

    killed_at = time.monotonic()
    hosts.ssh(2, f"systemctl kill --signal=KILL c100k-redis@{MASTER}")
    wait_until(lambda: hosts.redis(3, REPLICA, f"set {key}new written") == "OK")
    print(f"\nfrom kill -9 of a master to the next write in its slots: {time.monotonic() - killed_at:.1f} s")
    assert hosts.redis(1, MASTER, f"get {key}") == "kept"

    # systemd brings it back, after the failover and so as a replica.
    wait_until(lambda: "master_link_status:up" in hosts.redis(2, MASTER, "info replication"))
    assert "role:slave" in hosts.redis(2, MASTER, "info replication")

    # What is stopped by hand stays away, so that this can be recorded without haste.
    hosts.ssh(4, f"systemctl stop c100k-redis@{REPLICA}")
    broken = hosts.record()
    assert broken["complete"] is False
    assert f"node3:{MASTER} has no replica, so its slots are on one host only." in broken["problems"]
    assert any(sentence.startswith(f"node4:{REPLICA} does not answer") for sentence in broken["problems"])

    hosts.swarm_init()
    whole = hosts.record()
    assert (whole["problems"], whole["misplaced"]) == ([], [])
    assert hosts.redis(1, MASTER, f"get {key}") == "kept"
    masters = {node["host"]: node["port"] for node in whole["cluster"]["nodes"] if node["role"] == "master"}
    assert masters == dict.fromkeys(CONFIG.nodes, MASTER)

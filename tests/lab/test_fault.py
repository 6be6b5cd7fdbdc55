"""A host of the lab is broken on purpose and mended, with a service on it that is asked each time."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from .conftest import Harness

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PORT = 7099
UNIT = f"""[Service]
ExecStart=/usr/bin/python3 -m http.server {PORT}
Restart=always
"""


@pytest.fixture(scope="module")
def victim(harness: Harness) -> str:
    """The address of a host with a service that systemd restarts whenever it ends."""
    harness.ssh(1, f"printf '{UNIT}' > /etc/systemd/system/victim.service && systemctl start victim")
    address = harness.address(1)
    until(lambda: knock(address) == "answers")
    return address


@pytest.fixture
def fault(harness: Harness, tmp_path: Path) -> Any:
    def run(state: str, **arguments: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "node1", "-m", "c100k.harness.fault", "--become"]
        command += ["-e", "c100k_lab_name=test", "-e", "c100k_lab_subnet=10.112.0.0/24"]
        given = {"state": state, "run_dir": str(tmp_path), **arguments}
        done = subprocess.run(
            [*command, "-a", json.dumps(given)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        outcome = re.search(r"^node1 \| (\w+)!? => (.*)", done.stdout, re.DOTALL | re.MULTILINE)
        assert outcome is not None, done.stdout + done.stderr
        found: dict[str, Any] = yaml.safe_load(outcome[2])
        return found

    yield run
    run("healed")


def test_a_silent_death_is_told_to_nobody_and_ends_when_it_is_healed(victim: str, fault: Any, tmp_path: Path) -> None:
    kept = socket.create_connection((victim, PORT), timeout=5)
    before = time.time()
    injected = fault("injected", kind="silent_death", units=["victim.service"], service_ports=[PORT])
    assert before < injected["at"] < time.time()
    assert injected["units"] == {"victim.service": "failed"}
    assert knock(victim) == "is silent"
    kept.settimeout(1)
    with pytest.raises(TimeoutError):
        kept.recv(1)  # neither FIN nor RST has come
    kept.close()
    assert fault("injected", kind="silent_death")["changed"] is False
    healed = fault("healed")
    assert healed["units"] == {"victim.service": "active"}
    assert healed["dropped_packets"] > 0
    until(lambda: knock(victim) == "answers")
    assert fault("healed")["changed"] is False
    notes = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    assert [(note["host"], note["state"]) for note in notes] == [("node1", "injected"), ("node1", "healed")]


def test_a_death_is_not_undone_by_systemd(victim: str, fault: Any) -> None:
    assert fault("injected", kind="death", units=["victim.service"])["units"] == {"victim.service": "failed"}
    time.sleep(1)
    assert knock(victim) == "refuses"


def test_what_does_not_run_cannot_die(victim: str, fault: Any) -> None:
    failed = fault("injected", kind="death", units=["victim.service", "nobody.service"])
    assert failed["msg"].startswith("nobody.service has no main process")
    assert knock(victim) == "answers"


def test_a_fault_ends_by_itself(victim: str, fault: Any, harness: Harness) -> None:
    fault("injected", kind="silent_death", units=["victim.service"], service_ports=[PORT], expiry_s=2)
    until(lambda: knock(victim) == "answers")
    until(lambda: "c100k_fault" not in harness.ssh(1, "nft list tables; ls /run/systemd/system /run/c100k-fault"))
    assert fault("healed")["changed"] is False


def test_a_fault_that_does_not_take_effect_is_taken_back(victim: str, fault: Any, harness: Harness) -> None:
    failed = fault("injected", kind="silent_death", service_ports=[PORT], peer_ports=[99999])
    assert "nft" in failed["msg"]
    assert knock(victim) == "answers"
    assert "c100k_fault" not in harness.ssh(1, "nft list tables; ls /run/c100k-fault")


def knock(address: str) -> str:
    """What a new connection to the service meets."""
    try:
        socket.create_connection((address, PORT), timeout=1).close()
    except ConnectionRefusedError:
        return "refuses"
    except TimeoutError:
        return "is silent"
    return "answers"


def until(happens: Any, timeout_s: float = 20) -> None:
    give_up = time.monotonic() + timeout_s
    while not happens():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.2)

"""Source addresses that this host gets for a run, and has no more after it. They are of TEST-NET-2, on loopback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import command
from .test_stand_alone import LOAD, PATIENT, Loadgen, Serve
from .test_transports import children_of, wait_until

NETWORK = "198.51.100.0/29"
ADDRESSES = {f"198.51.100.{number}" for number in range(1, 7)}
ADDED = ("--source", NETWORK, "--add-addresses", "lo")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can add addresses")


def present() -> set[str]:
    shown = json.loads(subprocess.run(("ip", "-json", "address", "show", "lo"), capture_output=True, check=True).stdout)
    return {info["local"] for device in shown for info in device["addr_info"]} & ADDRESSES


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    yield
    for address in present():
        subprocess.run(("ip", "address", "delete", f"{address}/32", "dev", "lo"), check=True)


def run_for_long(url: str) -> subprocess.Popen[bytes]:
    """A run that has connections from those addresses."""
    load = ("--connections", "12", "--rate", "10", "--duration", "60", "--settle", "0")
    process = subprocess.Popen(command("run", url, *load, *ADDED), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Established is state 01, and the kernel writes addresses backwards; what the last test closed is in another state.
    wait_until(lambda: len(set(re.findall(r": (0[1-6]6433C6):\S+ \S+ 01 ", Path("/proc/net/tcp").read_text()))) == 6)
    return process


@as_root
def test_they_are_there_for_the_run_only(serve: Serve, loadgen: Loadgen) -> None:
    url = f"http://127.0.0.1:{serve().port}/mcp"
    # One that was there before is used, and stays.
    subprocess.run(("ip", "address", "add", "198.51.100.3/32", "dev", "lo"), check=True)
    ran = loadgen("run", url, *LOAD, *PATIENT, *ADDED)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert present() == {"198.51.100.3"}


@as_root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_they_go_when_the_run_is_stopped(serve: Serve, number: signal.Signals) -> None:
    process = run_for_long(f"http://127.0.0.1:{serve().port}/mcp")
    assert present() == ADDRESSES
    process.send_signal(number)
    process.communicate(timeout=60)
    assert present() == set()


@as_root
def test_the_next_run_removes_what_a_killed_one_has_left(serve: Serve, loadgen: Loadgen) -> None:
    process = run_for_long(f"http://127.0.0.1:{serve().port}/mcp")
    workers = children_of(process.pid)
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: not any(Path(f"/proc/{worker}/cmdline").exists() for worker in workers))
    # The next run on this host: it may be another test's, beside this one.
    ran = loadgen("run", "http://127.0.0.1:1/mcp")
    assert present() == set()
    assert ran.stderr.startswith(("removed 6 addresses that a run has left on lo", "http://127.0.0.1:1/mcp cannot"))
    assert "removed" not in loadgen("run", "http://127.0.0.1:1/mcp").stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--source", "10.0.0.1/8"), "10.0.0.1/8 has host bits set; write a network, such as 10.0.0.0/28"),
        (("--source", "10.0.0.0/8"), "10.0.0.0/8 has 16,777,216 addresses; 4,096 are the most"),
        (("--source", NETWORK), "source_addresses holds 198.51.100.1, which cannot be used on this host"),
        pytest.param(
            ("--source", NETWORK, "--add-addresses", "nowhere0"),
            "--add-addresses: 198.51.100.1 on nowhere0: Cannot find device",
            marks=as_root,
        ),
    ],
)
def test_what_cannot_be_had(serve: Serve, loadgen: Loadgen, arguments: tuple[str, ...], sentence: str) -> None:
    ran = loadgen("run", f"http://127.0.0.1:{serve().port}/mcp", *arguments)
    assert ran.returncode == 2, ran.stderr
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr

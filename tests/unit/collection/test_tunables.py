"""The module `tunables` on a real kernel: in a network namespace of its own, whose /proc/sys/net may be written."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]

SOMAXCONN = {"key": "net.core.somaxconn", "value": "65535", "why": "A longer queue.", "at_least": True}
RANGE = {"key": "net.ipv4.ip_local_port_range", "value": "10000  65535", "why": "More ports."}
ABSENT = {"key": "net.ipv4.no_such_key", "value": "1", "why": "Nothing."}
# The kernel takes no value for it, whoever writes.
REFUSED = {"key": "kernel.osrelease", "value": "2.0.40", "why": "Not for us."}


@pytest.fixture
def namespace() -> Iterator[int]:
    """The process id of a holder of a new network namespace, in which we are root."""
    holder = subprocess.Popen(
        ["unshare", "--map-root-user", "--net", "sh", "-c", "echo ready; read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    if holder.stdout.readline() != "ready\n":
        pytest.skip("this kernel gives no user and network namespace to us")
    yield holder.pid
    holder.communicate("\n", timeout=10)


@pytest.fixture
def run(namespace: int, collection: Path, tmp_path: Path) -> Run:
    """Runs the module in the namespace, with its files below `tmp_path`, and gives its result."""

    def run_module(*tunables: dict[str, Any], check: bool = False, **arguments: Any) -> dict[str, Any]:
        arguments = {
            "tunables": list(tunables),
            "path": str(tmp_path / "sysctl.d/90-c100k.conf"),
            "record": str(tmp_path / "tune/before.json"),
            "_ansible_check_mode": check,
            **arguments,
        }
        done = subprocess.run(
            [
                "nsenter",
                "--target",
                str(namespace),
                "--user",
                "--net",
                "--preserve-credentials",
                sys.executable,
                "-W",
                "ignore",
                str(collection / "plugins/modules/tunables.py"),
            ],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        assert done.stdout.strip(), done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run_module


def _statuses(result: dict[str, Any]) -> dict[str, str]:
    return {entry["key"]: entry["status"] for entry in result["tunables"]}


def test_check_mode_then_apply_then_apply_again(run: Run, tmp_path: Path) -> None:
    foreseen = run(SOMAXCONN, RANGE, ABSENT, check=True)
    assert foreseen["changed"]
    assert not (tmp_path / "sysctl.d").exists()
    assert not (tmp_path / "tune").exists()

    applied = run(SOMAXCONN, RANGE, ABSENT)
    assert applied["changed"]
    assert applied["tunables"] == foreseen["tunables"]
    assert applied["diff"] == foreseen["diff"]
    assert _statuses(applied) == {SOMAXCONN["key"]: "set", RANGE["key"]: "set", ABSENT["key"]: "absent"}
    assert applied["tunables"][1]["after"] == "10000 65535"

    again = run(SOMAXCONN, RANGE, ABSENT)
    assert not again["changed"]
    assert _statuses(again) == {SOMAXCONN["key"]: "ok", RANGE["key"]: "ok", ABSENT["key"]: "absent"}


def test_the_file_for_the_next_boot_has_each_why_and_nothing_that_was_not_set(run: Run, tmp_path: Path) -> None:
    run(SOMAXCONN, ABSENT)

    lines = (tmp_path / "sysctl.d/90-c100k.conf").read_text().splitlines()
    assert lines[-2:] == ["# A longer queue.", "net.core.somaxconn = 65535"]
    assert not any("no_such_key" in line for line in lines)


def test_a_larger_value_is_left_alone_only_where_a_floor_is_meant(run: Run) -> None:
    run({**SOMAXCONN, "value": "9000"})

    assert _statuses(run({**SOMAXCONN, "value": "8000"})) == {SOMAXCONN["key"]: "enough"}
    assert _statuses(run({**SOMAXCONN, "value": "8000", "at_least": False})) == {SOMAXCONN["key"]: "set"}


def test_revert_restores_the_state_before_the_very_first_run(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "sysctl.d/90-c100k.conf"
    path.parent.mkdir()
    path.write_bytes(b"# by hand \xff\n")
    path.chmod(0o640)
    first = run(SOMAXCONN)
    run({**SOMAXCONN, "value": "70000"}, RANGE)
    before = first["tunables"][0]["before"]

    foreseen = run(state="reverted", check=True)
    assert foreseen["changed"]
    assert path.read_bytes() != b"# by hand \xff\n"

    reverted = run(state="reverted")
    assert reverted["changed"]
    assert reverted["remaining_diff"] == ""
    assert _statuses(reverted) == {SOMAXCONN["key"]: "restored", RANGE["key"]: "restored"}
    assert reverted["tunables"][0]["after"] == before
    assert path.read_bytes() == b"# by hand \xff\n"
    assert path.stat().st_mode & 0o777 == 0o640
    assert not (tmp_path / "tune").exists()
    assert not run(state="reverted")["changed"]
    assert run(SOMAXCONN)["tunables"][0]["before"] == before


def test_a_file_that_was_not_there_is_gone_after_revert(run: Run, tmp_path: Path) -> None:
    run(SOMAXCONN)
    run(state="reverted")

    assert list((tmp_path / "sysctl.d").iterdir()) == []


def test_a_refused_value_is_told_and_fails_only_when_it_is_required(run: Run, tmp_path: Path) -> None:
    told = run(REFUSED, SOMAXCONN)
    assert _statuses(told) == {REFUSED["key"]: "refused", SOMAXCONN["key"]: "set"}
    assert "osrelease" not in (tmp_path / "sysctl.d/90-c100k.conf").read_text()
    assert REFUSED["key"] not in json.loads((tmp_path / "tune/before.json").read_text())["values"]

    failed = run({**REFUSED, "required": True})
    assert failed["failed"]
    assert "but 2.0.40 is needed: Not for us." in failed["msg"]


def test_what_cannot_be_restored_is_shown_as_a_diff(run: Run, tmp_path: Path) -> None:
    run(SOMAXCONN)
    record = tmp_path / "tune/before.json"
    recorded = json.loads(record.read_text())
    recorded["values"]["kernel.osrelease"] = "2.0.40"
    record.write_text(json.dumps(recorded))

    reverted = run(state="reverted")

    assert reverted["failed"]
    assert "-kernel.osrelease = 2.0.40" in reverted["remaining_diff"]
    assert "somaxconn" not in "".join(
        line for line in reverted["remaining_diff"].splitlines() if line.startswith(("-", "+"))
    )
    assert record.exists()

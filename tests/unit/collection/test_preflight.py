"""The preflight: what a host tells about itself, and the one table with all problems."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

GOOD: dict[str, Any] = {
    "boot_id": "x",
    "busy_ports": {},
    "clock_error_s": 0.01,
    "clock_offset_s": 0.02,
    "cores": 2,
    "memory_available_bytes": 8 << 30,
    "nofile": 20_000,
    "port_range": [32768, 60999],
    "python": "3.11",
    "systemd": 252,
    "venv": True,
}


@pytest.fixture(scope="module")
def info(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("plugins/modules/preflight_info.py")


@pytest.fixture(scope="module")
def action(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("plugins/action/preflight.py")


def test_a_good_host_has_no_problem(action: ModuleType) -> None:
    assert action.host_problems("a", {"host": GOOD}, 0.1) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"python": "3.9"}, "a: has Python 3.9, but 3.11 or newer is needed"),
        ({"venv": False}, "apt-get install python3-venv"),
        ({"systemd": None}, "systemd is not running"),
        ({"nofile": None}, "the file limit of a service could not be measured"),
        (
            {"clock_offset_s": -3.2},
            "its clock is -3.200 s off the controller's (give or take 0.010 s), but at most 0.1 s may be",
        ),
        ({"busy_ports": {"7000": "nginx (pid 7)"}}, "port 7000 is in use by nginx (pid 7)"),
    ],
)
def test_each_problem_is_a_sentence_that_says_what_to_do(action: ModuleType, facts: dict[str, Any], words: str) -> None:
    problems = action.host_problems("a", {"host": {**GOOD, **facts}}, 0.1)

    assert len(problems) == 1
    assert words in problems[0]
    assert problems[0].startswith("a: ")
    assert problems[0].endswith((".", "?"))


def test_an_offset_within_the_error_of_its_measurement_is_no_problem(action: ModuleType) -> None:
    assert action.host_problems("a", {"host": {**GOOD, "clock_offset_s": 0.3, "clock_error_s": 0.25}}, 0.1) == []


def test_hosts_that_do_not_answer_are_rows_too(action: ModuleType) -> None:
    down, broken = {"unreachable": True, "msg": "No route to host."}, {"msg": "MODULE FAILURE"}

    assert action.host_problems("b", down, 0.1) == ["b: cannot be reached: No route to host."]
    assert action.host_problems("c", broken, 0.1) == ["c: could not be looked at: MODULE FAILURE."]
    table = action.draw(
        [
            action.row("a", {"host": GOOD}, [], []),
            action.row("b", down, ["b: x"], []),
            action.row("c", broken, ["c: x"], ["c: y"]),
        ]
    ).splitlines()
    assert table[2].split() == ["a", "yes", "+20", "±", "10", "ms", "8.0", "GiB", "20,000", "2", "3.11", "free", "ok"]
    assert table[3].split() == ["b", "no", *"------", "1", "problem"]
    assert table[4].split() == ["c", "yes", *"------", "2", "problems"]


def test_the_clock_is_read_by_the_quickest_round_trip(load: Callable[[str], ModuleType]) -> None:
    best = load("plugins/action/preflight_info.py").best_reading(
        [(10.0, 14.0, 11.0), (20.0, 20.6, 20.2), (30.0, 35.0, 31.0)]
    )

    assert best == {"clock_offset_s": 0.5, "clock_error_s": 0.1}


def test_a_listener_of_another_program_makes_a_port_busy(info: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        assert list(info.busy_ports({port}, "c100k-")) == [port]
        assert "(pid " in info.busy_ports({port}, "c100k-")[port]
        assert info.busy_ports({port}, "") == {}  # every unit counts as our own
    assert info.busy_ports({port}, "c100k-") == {}


def test_what_is_read_of_this_machine_makes_sense(info: ModuleType) -> None:
    assert info.memory_available_bytes() > 1 << 20
    assert len(info.boot_id()) > 8
    assert info.boot_id() == info.boot_id()
    assert isinstance(info.has_netem(), bool)
    assert info.read_int("/proc/no/such/file") is None


def test_the_unit_of_a_process_is_found_in_its_control_group(info: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "cgroup").write_text(
        "12:pids:/system.slice/c100k-server.service\n0::/system.slice/c100k-server.service\n"
    )

    assert info.unit_of(tmp_path) == "c100k-server.service"
    assert info.unit_of(tmp_path / "gone") == ""

"""Lost, doubled and reordered writes are found in the log of the operations, and nowhere else."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c100k import operations
from c100k.operations import Operations
from c100k.run_directory import RunDirectory

# One session's log: (operation, outcome) by time; its counter: (acked, last operation, counter).
Log = Sequence[tuple[int, int | str]]
Counter = tuple[int, int, int | str]
Check = Callable[..., Operations | None]


def write(directory: Path, sessions: Sequence[tuple[Log, Counter | None]], host: str = "node1") -> None:
    """The files of one worker, each session under its place."""
    (directory / "hosts" / host).mkdir(parents=True, exist_ok=True)
    with (directory / f"hosts/{host}/{host}-w0-operations.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("t", "session", "operation", "attempt", "outcome"))
        for number, (log, _) in enumerate(sessions):
            rows.writerows((1.0, number, operation, 1, outcome) for operation, outcome in log)
    with (directory / f"hosts/{host}/{host}-w0-counters.csv").open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("session", "acked", "last_operation", "counter"))
        rows.writerows((number, *counter) for number, (_, counter) in enumerate(sessions) if counter is not None)


@pytest.fixture
def check(tmp_path: Path) -> Check:
    def check_sessions(*sessions: tuple[Log, Counter | None]) -> Operations | None:
        write(tmp_path, sessions)
        return operations.check(RunDirectory(tmp_path))

    return check_sessions


def faults(found: Operations | None) -> tuple[int, int, int]:
    assert found is not None
    return found.lost, found.duplicated, found.reordered


def test_a_run_without_increments_has_none(tmp_path: Path) -> None:
    assert operations.check(RunDirectory(tmp_path)) is None


def test_what_was_acknowledged_is_there(check: Check) -> None:
    found = check(([(1, 1), (2, "unknown"), (2, 2), (3, "error"), (3, 3)], (3, 3, 3)), ([(1, 1)], (1, 1, 1)))
    assert found is not None
    assert faults(found) == (0, 0, 0)
    assert (found.sessions, found.operations, found.acknowledged) == (2, 4, 4)
    assert (found.attempts, found.errors, found.unknown, found.unread) == (6, 1, 1, 0)
    assert found.violations == []


@pytest.mark.parametrize("counter", [1, 2])
def test_what_was_not_acknowledged_may_be_done_or_not(check: Check, counter: int) -> None:
    assert faults(check(([(1, 1), (2, "unknown")], (1, 2, counter)))) == (0, 0, 0)


@pytest.mark.parametrize(
    ("log", "counter", "expected"),
    [
        ([(1, 1), (2, 2)], (2, 2, 1), (1, 0, 0)),
        ([(1, 1), (2, 2)], (2, 2, 3), (0, 1, 0)),
        ([(1, 1), (2, 1)], (1, 2, 1), (1, 0, 1)),
        ([(1, 1), (2, 3)], (3, 2, 3), (0, 1, 0)),
        ([(1, 1), (2, 2), (2, 3)], (3, 2, 2), (1, 1, 1)),
        ([(1, 1), (2, 2), (1, 1)], (2, 2, 2), (0, 0, 1)),
        ([(1, "unknown"), (1, 2)], (2, 1, 2), (0, 1, 0)),
        # Lost, and made up for: only the values in between show it.
        ([(1, 1), (2, 2), (3, 2), (4, 4)], (4, 4, 4), (1, 0, 1)),
        # The session was unknown where it came back, and began anew.
        ([(1, 1), (2, 2), (3, 1)], (1, 3, 1), (2, 0, 1)),
    ],
    ids=[
        "lost",
        "doubled",
        "lost-on-the-way",
        "doubled-on-the-way",
        "two-values",
        "late",
        "retry-doubled",
        "both",
        "anew",
    ],
)
def test_what_is_wrong_is_found(check: Check, log: Log, counter: Counter, expected: tuple[int, int, int]) -> None:
    found = check(([(1, 1)], (1, 1, 1)), (log, counter))
    assert faults(found) == expected
    assert found is not None
    assert {violation.session for violation in found.violations} == {1}
    assert {violation.host for violation in found.violations} == {"node1"}


def test_a_counter_that_was_not_read_is_told(check: Check) -> None:
    found = check(([(1, 1)], None), ([(1, 1)], (1, 1, "")), ([(1, 1)], (1, 1, 1)))
    assert found is not None
    assert found.unread == 2


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, [([(1, 1)], None)])
    with (tmp_path / "hosts/node1/node1-w0-operations.csv").open("a") as file:
        file.write("1.0,0,2,1,17")
    found = operations.check(RunDirectory(tmp_path))
    assert found is not None
    assert (found.attempts, found.operations) == (1, 1)


def test_sessions_of_two_hosts_are_not_the_same(tmp_path: Path) -> None:
    write(tmp_path, [([(1, 1), (2, 2)], (2, 2, 2))], "node1")
    write(tmp_path, [([(1, 1)], (1, 1, 1))], "node2")
    found = operations.check(RunDirectory(tmp_path))
    assert found is not None
    assert (found.sessions, found.operations) == (2, 3)
    assert faults(found) == (0, 0, 0)


# What happens to an attempt: it is acknowledged, or its answer is lost after it was done, or it is lost itself.
ATTEMPTS = st.lists(st.lists(st.sampled_from(["answer lost", "request lost", "refused"]), max_size=3), max_size=20)


def play(script: list[list[str]], broken_at: int, by: int) -> tuple[Log, Counter]:
    """A client and a server that does each operation once, whose counter jumps by `by` before one operation."""
    log: list[tuple[int, int | str]] = []
    counter = done = acked = 0
    for operation, mishaps in enumerate(script, 1):
        if operation == broken_at:
            counter += by
        for mishap in mishaps:
            if mishap == "answer lost" and done < operation:
                counter, done = counter + 1, operation
            log.append((operation, "error" if mishap == "refused" else "unknown"))
        if done < operation:
            counter, done = counter + 1, operation
        acked = counter
        log.append((operation, acked))
    if broken_at > len(script):
        counter += by
    return log, (acked, len(script), counter)


def judge(directory: Path, played: tuple[Log, Counter]) -> Operations | None:
    write(directory, [played])
    return operations.check(RunDirectory(directory))


@given(ATTEMPTS)
def test_a_server_that_does_each_once_is_in_order(tmp_path_factory: Any, script: list[list[str]]) -> None:
    found = judge(tmp_path_factory.mktemp("run"), play(script, 0, 0))
    assert faults(found) == (0, 0, 0)
    assert found is not None
    assert found.acknowledged == len(script)


@given(ATTEMPTS.filter(bool), st.integers(2, 22), st.sampled_from([-1, 1]))
def test_a_server_that_loses_or_doubles_one_is_found_out(
    tmp_path_factory: Any, script: list[list[str]], broken_at: int, by: int
) -> None:
    found = judge(tmp_path_factory.mktemp("run"), play(script, broken_at, by))
    lost, duplicated, _ = faults(found)
    assert (lost, duplicated) == ((1, 0) if by < 0 else (0, 1))

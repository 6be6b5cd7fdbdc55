"""Processes as /proc shows them, and signals that cannot hit another process that got the same number."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

PROC = Path("/proc")


def arguments(pid: int) -> list[str]:
    """The command line of a process, empty when it is gone, a zombie or a kernel thread."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return []
    return [argument.decode(errors="replace") for argument in raw.rstrip(b"\0").split(b"\0")] if raw else []


def command_line(pid: int) -> str:
    """For people to read, on one line."""
    return " ".join(" ".join(arguments(pid)).split())[:160]


def ancestors(pid: int) -> set[int]:
    """The parents of a process up to the first, without itself."""
    found: set[int] = set()
    while pid > 1:
        try:
            stat = (PROC / str(pid) / "stat").read_text()
        except OSError:
            break
        # The command's name, in brackets, may hold blanks and brackets itself.
        pid = int(stat.rpartition(")")[2].split()[1])
        if pid in found:
            break
        found.add(pid)
    return found


def all_pids() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]


def signal_if(pid: int, is_meant: Callable[[int], bool], number: signal.Signals) -> bool:
    """Send a signal when `is_meant(pid)` holds. True when it was sent.

    The process is pinned by a descriptor first, and checked then: when its number was given to another process in
    between, the signal goes to the one that is gone, that is to nobody (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if not is_meant(pid):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def users_of(folder: Path) -> list[int]:
    """Processes that stand in the folder or have it as their root; these keep a mount busy."""
    found = []
    for pid in all_pids():
        for link in ("cwd", "root"):
            try:
                target = Path(os.readlink(PROC / str(pid) / link))
            except OSError:
                continue
            if target == folder or folder in target.parents:
                found.append(pid)
                break
    return found

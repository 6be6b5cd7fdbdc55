"""One user at a time: of a lab, of the image cache, of the record of what was changed on this host."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from c100k.lab.config import LabConfig
from c100k.lab.processes import ancestors, command_line

POLL_S = 0.2

# What this process holds: `hold` may be nested, as a run holds the lab and then takes it up and down.
_held: set[Path] = set()


@contextmanager
def exclusive(path: Path, busy: Callable[[str], None], *, keep: Callable[[], bool]) -> Iterator[None]:
    """Hold the lock file `path`. `busy` hears who holds it while this waits; the file is removed unless `keep()`.

    A child of the process that holds the lock passes: what a run starts belongs to the run.
    """
    if path in _held:
        yield
        return
    descriptor = _acquire(path, busy)
    if descriptor is None:
        yield
        return
    _held.add(path)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "command": command_line(os.getpid())}).encode(), 0)
        yield
    finally:
        _held.discard(path)
        if keep():
            os.ftruncate(descriptor, 0)
        else:
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, busy: Callable[[str], None]) -> int | None:
    """The locked descriptor, or None when a parent of this process holds the lock."""
    told = ""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            continue  # another process removed the folder between the two calls
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(path)
            os.close(descriptor)
            if holder is not None and holder[0] in ancestors(os.getpid()):
                return None
            who = "another process" if holder is None else f"pid {holder[0]} ({holder[1]})"
            if who != told:
                busy(who)
                told = who
            time.sleep(POLL_S)
            continue
        except BaseException:
            os.close(descriptor)
            raise
        if _is_still(path, descriptor):
            return descriptor
        os.close(descriptor)  # its last holder removed the file after we opened it


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _read_holder(path: Path) -> tuple[int, str] | None:
    try:
        record = json.loads(path.read_text())
        return int(record["pid"]), str(record["command"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # the holder is just writing it, or is gone


@contextmanager
def hold(config: LabConfig, progress: Callable[[str], None]) -> Iterator[None]:
    """Have the lab to oneself. While another process has it, `progress` hears which, and this waits."""
    path = config.state_dir.parent / f"{config.name}.lock"
    with exclusive(
        path,
        lambda who: progress(f"lab {config.name} is in use by {who}: waiting for it"),
        keep=config.state_dir.exists,
    ):
        yield

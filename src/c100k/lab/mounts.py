"""The table of mounts, and the overlay that gives each machine its own file system over the one image."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from c100k.lab.commands import run
from c100k.lab.config import LabConfig
from c100k.lab.errors import CommandFailedError, OverlayUnavailableError

UNMOUNT_PATIENCE_S = 3


@dataclass(frozen=True)
class Mount:
    target: Path
    kind: str
    super_options: tuple[str, ...]


def parse_mountinfo(text: str) -> list[Mount]:
    """The format of /proc/<pid>/mountinfo, see proc(5): optional fields end at a single hyphen."""
    mounts = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        target = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), before.split()[4])
        kind, _, options = after.split(" ", 2)
        mounts.append(Mount(Path(target), kind, tuple(options.split(","))))
    return mounts


def read_mounts() -> list[Mount]:
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text())


def mounts_below(folder: Path) -> list[Path]:
    """Targets at or below the folder, the innermost first."""
    return [mount.target for mount in reversed(read_mounts()) if mount.target.is_relative_to(folder)]


def mount_overlay(config: LabConfig, node: str, image: Path) -> None:
    """Mount the node's file system unless it is mounted. Raises OverlayUnavailableError."""
    root = config.root(node)
    if root in mounts_below(root):
        return
    upper, work = config.node_dir(node) / "upper", config.node_dir(node) / "work"
    for folder in (upper, work, root):
        folder.mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={image},upperdir={upper},workdir={work}"
    try:
        run("mount", "--types", "overlay", "--options", options, config.machine(node), str(root))
    except CommandFailedError as error:
        raise OverlayUnavailableError(error.stderr) from error


def unmount(target: Path) -> bool:
    """Unmount; False when something still uses it after a while. Never lazily: that would only hide it."""
    deadline = time.monotonic() + UNMOUNT_PATIENCE_S
    while True:
        try:
            run("umount", str(target))
        except CommandFailedError:
            if target not in mounts_below(target):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True

"""What must be true before a lab can be made; each refusal is an exception with one sentence."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from c100k.lab import cgroups
from c100k.lab.commands import require_tools, run
from c100k.lab.config import LabConfig
from c100k.lab.errors import (
    CgroupUnavailableError,
    CommandFailedError,
    DiskSpaceError,
    NotLinuxError,
    NotRootError,
    OverlayUnavailableError,
)

# An image has 0.4 GB and debootstrap needs as much again while it builds; a machine writes wheels, logs and samples.
IMAGE_BYTES = 1_200_000_000
NODE_BYTES = 300_000_000


def check_platform() -> None:
    """What every command on a lab needs. Raises NotLinuxError, NotRootError or MissingToolsError."""
    if sys.platform != "linux":
        raise NotLinuxError(sys.platform)
    if os.geteuid() != 0:
        raise NotRootError(os.geteuid())
    require_tools()


def check_disk(config: LabConfig, *, image_is_cached: bool, lab_exists: bool) -> None:
    """Raises DiskSpaceError. Needs in the same file system are added."""
    needs: list[tuple[Path, int]] = []
    if not image_is_cached:
        needs.append((config.cache_dir, IMAGE_BYTES))
    if not lab_exists:
        needs.append((config.state_dir, NODE_BYTES * len(config.nodes)))
    by_device: dict[int, tuple[Path, int]] = {}
    for path, needed in needs:
        while not path.exists():
            path = path.parent
        device = path.stat().st_dev
        by_device[device] = (path, needed + by_device.get(device, (path, 0))[1])
    for path, needed in by_device.values():
        available = shutil.disk_usage(path).free
        if available < needed:
            raise DiskSpaceError(path, needed, available)


def check_overlay(filesystems: Path = Path("/proc/filesystems")) -> None:
    """Raises OverlayUnavailableError."""
    if "overlay" in filesystems.read_text().split():
        return
    try:
        run("modprobe", "overlay")
    except CommandFailedError as error:
        raise OverlayUnavailableError("it has no overlay file system") from error


def check_cgroups() -> None:
    """Raises CgroupUnavailableError."""
    if not any(os.access(hierarchy, os.W_OK) for hierarchy in cgroups.hierarchies()):
        raise CgroupUnavailableError

"""A control group per machine. By it every process of a machine is known, also when its supervisor was killed.

Without a group of its own systemd-nspawn puts the payload of every machine in the same group, and then `systemctl stop`
in one machine would reach the processes of the others.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from c100k.lab.config import LabConfig
from c100k.lab.mounts import Mount, read_mounts

SYSTEMD_RUNNING = Path("/run/systemd/system")


def hierarchies(mounts: list[Mount] | None = None) -> list[Path]:
    """Where the hierarchies that systemd uses are mounted: cgroup2, and on older hosts `name=systemd`."""
    found = []
    for mount in read_mounts() if mounts is None else mounts:
        is_systemd_v1 = mount.kind == "cgroup" and "name=systemd" in mount.super_options
        if (mount.kind == "cgroup2" or is_systemd_v1) and mount.target.is_relative_to("/sys/fs/cgroup"):
            found.append(mount.target)
    return found


def host_has_systemd() -> bool:
    """sd_booted(3): then groups belong to the host's systemd and must be asked of it."""
    return SYSTEMD_RUNNING.is_dir()


def scope_name(config: LabConfig, node: str) -> str:
    return f"c100k-lab-{config.machine(node)}.scope"


def lab_group(hierarchy: Path, config: LabConfig) -> Path:
    return hierarchy / f"c100k-lab-{config.name}"


def node_groups(config: LabConfig, node: str) -> list[Path]:
    """The groups of one machine that exist."""
    candidates = []
    for hierarchy in hierarchies():
        candidates.append(lab_group(hierarchy, config) / node)
        candidates.append(hierarchy / "machine.slice" / scope_name(config, node))
    return [group for group in candidates if group.is_dir()]


def nodes_with_groups(config: LabConfig) -> set[str]:
    found: set[str] = set()
    prefix, suffix = f"c100k-lab-{config.name}-", ".scope"
    for hierarchy in hierarchies():
        if lab_group(hierarchy, config).is_dir():
            found.update(child.name for child in lab_group(hierarchy, config).iterdir() if child.is_dir())
        for scope in (hierarchy / "machine.slice").glob(f"{prefix}*{suffix}"):
            found.add(scope.name[len(prefix) : -len(suffix)])
    return found


def create_node_groups(config: LabConfig, node: str) -> list[Path]:
    groups = [lab_group(hierarchy, config) / node for hierarchy in hierarchies()]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    return groups


def members(group: Path) -> set[int]:
    """All processes in a group and below it."""
    pids: set[int] = set()
    for folder, _, _ in os.walk(group):
        try:
            pids.update(int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split())
        except OSError:
            continue  # removed while we walk
    pids.discard(0)  # a process that this pid namespace cannot see
    return pids


def remove(group: Path, patience_s: float = 2) -> bool:
    """Remove an empty group and all below it. False when the kernel refuses."""
    deadline = time.monotonic() + patience_s
    while True:
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                continue  # reported below when it lasts: the kernel needs a moment after the last process ended
        if not group.exists():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)

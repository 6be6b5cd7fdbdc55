"""Starting, finding and stopping systemd-nspawn machines, with the state of the kernel as the only truth."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from c100k.lab import cgroups, processes
from c100k.lab.commands import environment
from c100k.lab.config import LabConfig
from c100k.lab.errors import CommandFailedError
from c100k.lab.mounts import mounts_below

NSPAWN_RUNTIME = Path("/run/systemd/nspawn")
ORDERLY_STOP_S = 10
KILL_PATIENCE_S = 5

# Enters the control groups before it becomes the supervisor.
_ENTER_GROUPS = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'


def nspawn_argv(config: LabConfig, node: str) -> list[str]:
    return [
        "systemd-nspawn",
        f"--directory={config.root(node)}",
        f"--machine={config.machine(node)}",
        f"--hostname={node}",
        f"--network-bridge={config.bridge}",
        "--boot",
        "--register=no",
        "--keep-unit",
        "--settings=no",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        "--console=read-only",
        "--quiet",
    ]


def start(config: LabConfig, node: str) -> None:
    """Start a machine that outlives us, in a session and control groups of its own; its console goes to a log."""
    nspawn = nspawn_argv(config, node)
    if cgroups.host_has_systemd():
        scope = ("systemd-run", "--scope", "--quiet", "--collect", "--slice=machine.slice", "--property=Delegate=yes")
        named = (f"--unit={cgroups.scope_name(config, node)}", f"--description=c100k lab {config.name}: {node}")
        argv = [*scope, *named, *nspawn]
    else:
        groups = [str(group) for group in cgroups.create_node_groups(config, node)]
        argv = ["sh", "-c", _ENTER_GROUPS, "sh", *groups, "--", *nspawn]
    with config.console_log(node).open("ab") as log:
        done = subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment(),
            check=False,
        )
    if done.returncode != 0:
        raise CommandFailedError(argv, done.returncode, console_tail(config, node))


def console_tail(config: LabConfig, node: str) -> str:
    try:
        lines = config.console_log(node).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "its console is empty"
    return " / ".join(line.strip() for line in lines[-5:] if line.strip()) or "its console is empty"


def _supervises(pid: int, root: Path) -> bool:
    """Whether a process is, or is about to become, the supervisor of the machine with that root."""
    argv = processes.arguments(pid)
    names = {"systemd-nspawn", "systemd-run", "sh", "setsid"}
    return f"--directory={root}" in argv and Path(argv[0]).name in names


def supervisors(config: LabConfig, node: str) -> list[int]:
    return [pid for pid in processes.all_pids() if _supervises(pid, config.root(node))]


def is_running(config: LabConfig, node: str) -> bool:
    """Both the supervisor and a payload live; a payload without its supervisor is a wreck."""
    pids = supervisors(config, node)
    return bool(pids) and bool(_members(config, node) - set(pids))


def _members(config: LabConfig, node: str) -> set[int]:
    return {pid for group in cgroups.node_groups(config, node) for pid in cgroups.members(group)}


def machine_processes(config: LabConfig, node: str) -> set[int]:
    return _members(config, node) | set(supervisors(config, node))


def has_ended(config: LabConfig, node: str) -> bool:
    """Whether a machine that was started is gone. Asked more than once: in its exec a process has no arguments."""
    for _ in range(5):
        if machine_processes(config, node):
            return False
        time.sleep(0.05)
    return True


def known_nodes(config: LabConfig) -> list[str]:
    """Every node that is asked for or of which anything exists, also when the record is lost."""
    found = set(config.nodes) | cgroups.nodes_with_groups(config)
    if config.nodes_dir.is_dir():
        found.update(entry.name for entry in config.nodes_dir.iterdir() if entry.is_dir())
    for target in mounts_below(config.nodes_dir):
        found.update(target.relative_to(config.nodes_dir).parts[:1])
    return sorted(found)


def stop(config: LabConfig, nodes: Iterable[str]) -> None:
    """Stop machines in order, then what did not stop by SIGKILL; their control groups go too."""
    nodes = list(nodes)
    orderly = [node for node in nodes if is_running(config, node)]
    for node in orderly:
        _power_off(config, node)
    _wait_gone(config, orderly, ORDERLY_STOP_S)
    deadline = time.monotonic() + KILL_PATIENCE_S
    while time.monotonic() < deadline:
        # Repeated: what is killed may have started another process meanwhile.
        killed = [node for node in nodes if _kill(config, node)]
        if not killed:
            break
        time.sleep(0.05)
    for node in nodes:
        for group in cgroups.node_groups(config, node):
            cgroups.remove(group)
        _remove_runtime_files(config, node)


def _wait_gone(config: LabConfig, nodes: list[str], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while any(machine_processes(config, node) for node in nodes) and time.monotonic() < deadline:
        time.sleep(0.05)


def _power_off(config: LabConfig, node: str) -> None:
    """The supervisor hands SIGTERM on as an order to systemd to halt the machine."""
    root = config.root(node)
    for pid in supervisors(config, node):
        processes.signal_if(pid, lambda pid: _supervises(pid, root), signal.SIGTERM)


def _kill(config: LabConfig, node: str) -> bool:
    """SIGKILL every process of a machine; false when there is none."""
    root = config.root(node)
    pids = machine_processes(config, node)
    for pid in pids:
        processes.signal_if(pid, lambda pid: pid in _members(config, node) or _supervises(pid, root), signal.SIGKILL)
    return bool(pids)


def _remove_runtime_files(config: LabConfig, node: str) -> None:
    """What a supervisor leaves in /run when it is killed."""
    propagate = NSPAWN_RUNTIME / "propagate" / config.machine(node)
    if propagate.is_dir():
        os.rmdir(propagate)
    root = config.root(node)
    if root in mounts_below(root):
        status = root.stat()
        (NSPAWN_RUNTIME / "locks" / f"inode-{status.st_dev}:{status.st_ino}").unlink(missing_ok=True)


def ssh_argv(config: LabConfig, node: str, *command: str) -> list[str]:
    return ["ssh", "-F", str(config.ssh_config), node, shlex.join(command)]

"""up, down and status of a lab.

All names are made from the lab's own, and what exists is read from the kernel. So both `up` and `down` start from any
state in which an earlier one was killed.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from c100k.lab import cgroups, machines, network, preflight
from c100k.lab.commands import environment
from c100k.lab.config import LabConfig
from c100k.lab.errors import LabRemainsError, MachineDiedError, MachineNotReadyError
from c100k.lab.host_settings import HostSettings
from c100k.lab.image import ensure_image, find_recipe
from c100k.lab.lock import hold
from c100k.lab.mounts import mount_overlay, mounts_below, unmount
from c100k.lab.node_files import ensure_controller_files, write_node_files
from c100k.lab.processes import command_line, users_of
from c100k.lab.state import check_unchanged, read_state, write_state

BOOT_LIMIT_S = 60
# A machine that runs since an earlier `up` answers at once, unless a fault was left in it.
PROBE_S = 5
SSH_PORT = 22

Progress = Callable[[str], None]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class NodeStatus:
    """`pid` is that of the machine's supervisor; `answers` says whether its sshd greets."""

    name: str
    address: str
    pid: int | None
    answers: bool


@dataclass(frozen=True)
class LabStatus:
    """`state` is `up` (all machines answer), `down` (nothing exists) or `partial`."""

    name: str
    state: str
    subnet: str
    controller_address: str
    bridge: str
    image: str | None
    ssh_config: Path
    nodes: tuple[NodeStatus, ...]


def prepare(config: LabConfig, progress: Progress) -> Path:
    """The image of the hosts, which is built when the cache has none: `up` does the same first. Raises LabError."""
    preflight.check_platform()
    image_name = find_recipe()[0].name
    preflight.check_disk(config, image_is_cached=(config.cache_dir / image_name).is_dir(), lab_exists=True)
    return ensure_image(config.cache_dir, progress)


def up(config: LabConfig, progress: Progress) -> LabStatus:
    """Bring the lab up, or repair it; does nothing to what is already right. Raises LabError."""
    preflight.check_platform()
    with hold(config, progress):
        state = read_state(config)
        if state is not None:
            check_unchanged(config, state)
        image_name = find_recipe()[0].name
        preflight.check_overlay()
        preflight.check_cgroups()
        preflight.check_disk(
            config, image_is_cached=(config.cache_dir / image_name).is_dir(), lab_exists=state is not None
        )
        network.check_addresses(config)
        image = ensure_image(config.cache_dir, progress)
        if state is not None and state.image != image.name:
            progress(f"lab {config.name}: the image has changed, making the machines anew")
            _remove(config, progress)
        _make(config, image, progress)
        return status(config)


def _make(config: LabConfig, image: Path, progress: Progress) -> None:
    started = time.monotonic()
    write_state(config, image.name)
    network.ensure_bridge(config)
    HostSettings().acquire(config.name, config.bridge)
    network.ensure_notrack(config)
    ensure_controller_files(config)
    stopped = _stopped_nodes(config)
    if not stopped:
        progress(f"lab {config.name}: {len(config.nodes)} machines are up")
        return
    machines.stop(config, stopped)  # what is left of a machine whose supervisor was killed
    for node in stopped:
        mount_overlay(config, node, image)
        write_node_files(config, node)
        machines.start(config, node)
        progress(f"lab {config.name}: {node} ({config.address(node)}) boots")
    _wait_ready(config, stopped)
    progress(f"lab {config.name}: {len(config.nodes)} machines are up, {time.monotonic() - started:.1f} s")


def _stopped_nodes(config: LabConfig) -> list[str]:
    """Nodes to be started: those that do not run, and those that run and do not let us in."""
    running = [node for node in config.nodes if machines.is_running(config, node)]
    refusals = _each(running, lambda node: _system_state(config, node, PROBE_S))
    return [node for node in config.nodes if refusals.get(node, "it does not run")]


def _each(nodes: list[str], ask: Callable[[str], Answer]) -> dict[str, Answer]:
    """Ask something of all nodes at once."""
    if not nodes:
        return {}
    with ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        return dict(zip(nodes, pool.map(ask, nodes), strict=True))


def _greets(address: str, patience_s: float) -> bool:
    try:
        with socket.create_connection((address, SSH_PORT), timeout=patience_s) as connection:
            connection.settimeout(patience_s)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _system_state(config: LabConfig, node: str, patience_s: float) -> str:
    """Empty when the machine lets us in and has booted, else what is wrong with it."""
    argv = machines.ssh_argv(config, node, "systemctl", "is-system-running", "--wait")
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=patience_s,
            check=False,
            env=environment(),
        )
    except subprocess.TimeoutExpired:
        return f"ssh had no answer in {patience_s:.0f} s"
    # `degraded` only says that some unit failed, which is for the roles to judge.
    if done.stdout.strip() in ("running", "degraded"):
        return ""
    return f"systemd is {done.stdout.strip()}" if done.stdout.strip() else done.stderr.strip()


def _wait_ready(config: LabConfig, nodes: list[str]) -> None:
    deadline = time.monotonic() + BOOT_LIMIT_S

    def wait(node: str) -> str:
        address = str(config.address(node))
        while time.monotonic() < deadline:
            if _greets(address, 1):
                return _system_state(config, node, max(1, deadline - time.monotonic()))
            if machines.has_ended(config, node):
                return "ended"
            time.sleep(0.05)
        return "sshd does not greet"

    for node, reason in _each(nodes, wait).items():
        if reason == "ended":
            raise MachineDiedError(node, config.console_log(node), machines.console_tail(config, node))
        if reason:
            raise MachineNotReadyError(node, BOOT_LIMIT_S, reason, config.console_log(node))


def down(config: LabConfig, progress: Progress) -> None:
    """Remove all that a lab of this name consists of, in whatever state. Raises LabRemainsError for what is left."""
    preflight.check_platform()
    with hold(config, progress):
        _remove(config, progress)


def _remove(config: LabConfig, progress: Progress) -> None:
    nodes = machines.known_nodes(config)
    live = [node for node in nodes if machines.machine_processes(config, node)]
    if live:
        progress(f"lab {config.name}: stopping {', '.join(live)}")
    machines.stop(config, nodes)
    for hierarchy in cgroups.hierarchies():
        cgroups.remove(cgroups.lab_group(hierarchy, config))
    for target in mounts_below(config.nodes_dir):
        unmount(target)
    network.remove_notrack(config)
    network.remove_bridge(config)
    HostSettings().release(config.name, lambda bridge: bridge in network.links())
    remains = what_exists(config)
    if remains:
        raise LabRemainsError(config.name, remains)
    _remove_files(config)
    progress(f"lab {config.name}: is down")


def _remove_files(config: LabConfig) -> None:
    """Only what the lab wrote: the folder may be one that a user chose. The record goes last."""
    if config.nodes_dir.exists():
        shutil.rmtree(config.nodes_dir)
    public = config.private_key.with_name(config.private_key.name + ".pub")
    for path in (config.private_key, public, config.known_hosts, config.ssh_config, config.state_dir / "lab.json"):
        path.unlink(missing_ok=True)
    if config.state_dir.exists():
        for unfinished in config.state_dir.glob(".*.[0-9]*"):
            unfinished.unlink()
        if not any(config.state_dir.iterdir()):
            config.state_dir.rmdir()


def what_exists(config: LabConfig) -> list[str]:
    """All that the kernel has of this lab, as phrases."""
    found = []
    for node in machines.known_nodes(config):
        found += [f"process {pid} ({command_line(pid)})" for pid in machines.machine_processes(config, node)]
    for target in mounts_below(config.nodes_dir):
        users = ", ".join(f"{pid} ({command_line(pid)})" for pid in users_of(target))
        found.append(f"mount {target}" + (f" in use by process {users}" if users else ""))
    if network.bridge_exists(config):
        found.append(f"link {config.bridge}")
    if network.notrack_exists(config):
        found.append(f"nft table bridge {network.notrack_table(config)}")
    for hierarchy in cgroups.hierarchies():
        if cgroups.lab_group(hierarchy, config).exists():
            found.append(f"control group {cgroups.lab_group(hierarchy, config)}")
    return found


def _node_status(config: LabConfig, node: str) -> NodeStatus:
    address = str(config.address(node))
    pids = machines.supervisors(config, node)
    return NodeStatus(node, address, min(pids, default=None), bool(pids) and _greets(address, PROBE_S))


def status(config: LabConfig) -> LabStatus:
    """What is there now. Changes nothing and does not wait for whoever holds the lab. Raises LabError."""
    preflight.check_platform()
    nodes = tuple(_each(list(config.nodes), lambda node: _node_status(config, node)).values())
    state = read_state(config)
    if all(node.answers for node in nodes):
        summary = "up"
    else:
        summary = "partial" if state is not None or what_exists(config) else "down"
    return LabStatus(
        name=config.name,
        state=summary,
        subnet=config.subnet,
        controller_address=str(config.controller_address),
        bridge=config.bridge,
        image=None if state is None else state.image,
        ssh_config=config.ssh_config,
        nodes=nodes,
    )

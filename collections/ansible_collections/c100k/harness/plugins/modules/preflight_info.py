#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What a host can bear, read without changing anything."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Read what a host can bear
version_added: 0.1.0
description:
  - Reads the facts that decide whether a load run fits a host, and changes nothing.
  - The file limit is the one that systemd really grants to a service that asks for 1,048,576 files. Where it may not
    raise the limit, systemd lowers the wish without a word, so the limit is measured with a transient unit.
  - The action plugin of the same name also measures the clock, as the best of several round trips.
author:
  - The c100k authors (@c100k)
options:
  ports:
    description: TCP ports that the run needs for itself.
    type: list
    elements: int
    default: []
  own_units:
    description: A port that is held by a process of a systemd unit whose name begins so is not counted as busy.
    type: str
    default: c100k-
  round_trips:
    description: How often the clock is read; the quickest reading counts.
    type: int
    default: 5
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Read what this host can bear
  c100k.harness.preflight_info:
    ports: [7000, 7001, 7002]
  register: preflight
"""

RETURN = r"""
host:
  description: The facts.
  returned: success
  type: dict
  sample:
    boot_id: 2f9d7c1e-8f0f-4d0b-9d7e-1c1b6f9f6a53
    busy_ports: {}
    clock_error_s: 0.004
    clock_offset_s: -0.0003
    clock_s: 1795000000.12
    conntrack_count: null
    conntrack_max: null
    cores: 2
    kernel: 6.1.0-28-amd64
    machine: x86_64
    memory_available_bytes: 8123456789
    netem: true
    nofile: 1048576
    port_range: [32768, 60999]
    python: "3.11"
    systemd: 252
    venv: true
  contains:
    boot_id:
      description: Names the running kernel. Hosts that share one, such as the machines of the lab, have the same.
      type: str
    busy_ports:
      description: The wanted ports that something else listens on, each with the name of the process.
      type: dict
    clock_error_s:
      description: How far the offset may be off, half the quickest round trip.
      type: float
    clock_offset_s:
      description: How far this host's clock is ahead of the controller's.
      type: float
    clock_s:
      description: The host's clock, in seconds since 1970.
      type: float
    conntrack_count:
      description: Entries in the connection tracking table, or null where it is off.
      type: int
    conntrack_max:
      description: Entries that the table may hold, or null where it is off.
      type: int
    cores:
      description: Cores that a process may use.
      type: int
    kernel:
      description: Release of the kernel.
      type: str
    machine:
      description: Type of the machine, such as x86_64.
      type: str
    memory_available_bytes:
      description: Memory that can be had without swapping.
      type: int
    netem:
      description: Whether the kernel can delay packets.
      type: bool
    nofile:
      description: Files that a systemd service may open, or null when this could not be measured.
      type: int
    port_range:
      description: First and last port that the kernel picks for outgoing connections.
      type: list
      elements: int
    python:
      description: Version of Python.
      type: str
    systemd:
      description: Version of the running systemd, or null without one.
      type: int
    venv:
      description: Whether this Python can make virtual environments with pip inside.
      type: bool
"""

import gzip
import importlib.util
import os
import platform
import re
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

WANTED_FILES = 1048576
LISTENING = "0A"


def read_int(path):
    """The number in a file of /proc, or None where the kernel has no such file."""
    try:
        return int(Path(path).read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


def memory_available_bytes():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def boot_id():
    """The kernel's own id, unless a container manager has put another over it."""
    own = "/proc/sys/kernel/random/boot_id"
    if not any(line.split()[4] == own for line in Path("/proc/self/mountinfo").read_text().splitlines()):
        return Path(own).read_text().strip()
    booted = re.search(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
    memory = Path("/proc/meminfo").read_text().split()[1]
    return f"{platform.release()}-{booted.group(1) if booted else 0}-{memory}"


def has_netem():
    """Whether sch_netem is loaded, built in, or there to be loaded."""
    if Path("/sys/module/sch_netem").exists():
        return True
    modules = Path("/lib/modules") / platform.release()
    for name in ("modules.builtin", "modules.dep"):
        try:
            if "sch_netem" in (modules / name).read_text():
                return True
        except OSError:
            continue
    try:
        return b"CONFIG_NET_SCH_NETEM=y" in gzip.decompress(Path("/proc/config.gz").read_bytes())
    except OSError:
        return False


def listeners(tables=("/proc/net/tcp", "/proc/net/tcp6")):
    """Listening ports with the inodes of their sockets."""
    found = {}
    for table in tables:
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in (line.split() for line in rows):
            if row[3] == LISTENING:
                found.setdefault(int(row[1].rsplit(":", 1)[1], 16), set()).add(row[9])
    return found


def socket_owners():
    """Inode of each socket, with the process that has it open."""
    owners = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for descriptor in (process / "fd").iterdir():
                target = os.readlink(descriptor)
                if target.startswith("socket:["):
                    owners[target[8:-1]] = process
        except OSError:
            continue  # the process has ended, or is not ours to look into
    return owners


def unit_of(process):
    """Name of the systemd unit that a process belongs to, or an empty string."""
    try:
        found = re.findall(r"/([^/\n]+\.(?:service|scope))", (process / "cgroup").read_text())
    except OSError:
        return ""
    return found[-1] if found else ""


def busy_ports(ports, own_units):
    """Those of the ports that anything but our own units listens on, with the name of the holder."""
    listening = {port: inodes for port, inodes in listeners().items() if port in ports}
    owners = socket_owners() if listening else {}
    busy = {}
    for port, inodes in listening.items():
        process = next((owners[inode] for inode in inodes if inode in owners), None)
        if process is None:
            busy[port] = "an unknown process"
        elif not unit_of(process).startswith(own_units):
            busy[port] = f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return busy


def systemd_version(module):
    if not Path("/run/systemd/system").is_dir():
        return None
    status, output, _errors = module.run_command(["systemctl", "--version"])
    found = re.match(r"systemd (\d+)", output)
    return int(found.group(1)) if status == 0 and found else None


def service_nofile(module):
    """The hard limit that a service gets which asks for WANTED_FILES; None when no service could be started."""
    command = ["systemd-run", "--quiet", "--wait", "--pipe", "--collect", f"--property=LimitNOFILE={WANTED_FILES}"]
    status, output, _errors = module.run_command([*command, "/bin/sh", "-c", "ulimit -Hn"])
    return int(output) if status == 0 and output.strip().isdigit() else None


def gather(module):
    systemd = systemd_version(module)
    port_range = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    return {
        "boot_id": boot_id(),
        "busy_ports": busy_ports(set(module.params["ports"]), module.params["own_units"]),
        "clock_s": time.time(),
        "conntrack_count": read_int("/proc/sys/net/netfilter/nf_conntrack_count"),
        "conntrack_max": read_int("/proc/sys/net/netfilter/nf_conntrack_max"),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "memory_available_bytes": memory_available_bytes(),
        "netem": has_netem(),
        "nofile": service_nofile(module) if systemd else None,
        "port_range": [int(port) for port in port_range],
        "python": ".".join(platform.python_version_tuple()[:2]),
        "systemd": systemd,
        "venv": all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")),
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "default": []},
            "own_units": {"type": "str", "default": "c100k-"},
            "round_trips": {"type": "int", "default": 5},
        },
        supports_check_mode=True,
    )
    module.exit_json(changed=False, host=gather(module))


if __name__ == "__main__":
    main()

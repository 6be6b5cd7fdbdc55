#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What a host, its server and its generator count at this moment."""

from __future__ import annotations

DOCUMENTATION = r"""
module: metrics_info
short_description: Read what a host, its server and its generator count
version_added: 0.1.0
description:
  - Reads the kernel's counts of sockets, memory, processor, interrupts and files, what server and generator count
    themselves, and what processes cost. It changes nothing.
  - Where O(prometheus_url) is given, the controller asks it first, and the host is only asked for what it does not
    have. RV(sources) says what came from where, and there is a warning when Prometheus does not answer.
  - Counters count from the start of the host or program. For a rate, read twice.
  - A figure that could not be read is null.
author:
  - The c100k authors (@c100k)
options:
  parts:
    description: What is read.
    type: list
    elements: str
    choices: [host, server, loadgen]
    default: [host, server, loadgen]
  server_metrics:
    description: Where the server shows its metrics, as its host sees it.
    type: str
    default: http://127.0.0.1:7001/metrics
  loadgen_metrics:
    description: Where the generator shows its metrics, as its host sees it.
    type: str
    default: http://127.0.0.1:7002/metrics
  pids:
    description: Processes whose cost is read. Those that have ended are left out of the answer.
    type: list
    elements: int
    default: []
  commands:
    description: Regular expressions. The cost of each process is read whose command line has a match for one of them.
    type: list
    elements: str
    default: []
  answer_limit_s:
    description: Who takes longer to answer is given up.
    type: float
    default: 2.0
  prometheus_url:
    description: A Prometheus that scrapes the host, as the controller sees it.
    type: str
  prometheus_host:
    description: The label C(host) of this host in Prometheus. By default its name in the inventory.
    type: str
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
seealso:
  - module: c100k.harness.preflight_info
  - module: c100k.harness.sla_gate
"""

EXAMPLES = r"""
- name: Read what the hosts count
  c100k.harness.metrics_info:
    commands: ["c100k-server serve", "^redis-server"]
  register: metrics

- name: Ask the Prometheus that watches the run, and the hosts only for what it does not know
  c100k.harness.metrics_info:
    prometheus_url: http://127.0.0.1:9090
  register: metrics

- name: Show how many connections are open
  ansible.builtin.debug:
    msg: "{{ metrics.server.connections | int }} connections, {{ metrics.host.sockets.tcp_in_use | int }} sockets"
"""

RETURN = r"""
sources:
  description: Where each part came from, C(prometheus) or C(direct), or null when nobody answered.
  returned: success
  type: dict
  sample: {host: prometheus, server: prometheus, loadgen: null}
host:
  description: What the kernel counts. Null when it was not wanted.
  returned: success
  type: dict
  sample:
    sockets:
      {used: 25178, tcp_in_use: 25114, tcp_time_wait: 25, tcp_allocated: 25120, tcp_orphaned: 0,
       tcp_memory_bytes: 360448}
    listening: {overflows: 0, drops: 0}
    memory: {total_bytes: 25276514304, available_bytes: 24162377728, swap_total_bytes: 0, swap_free_bytes: 0}
    cpu: {cores: 2, busy_s: 30897.1, total_s: 61121.5, irq_s: 0.0, softirq_s: 2078.1, load_1m: 2.26}
    interrupts:
      {interrupts: 77618976, context_switches: 187028056, packets_processed: 446508417, packets_dropped: 0,
       times_squeezed: 510}
    files: {open: 1746, limit: 2466193}
    connection_tracking: {entries: null, limit: null}
server:
  description:
    - What all workers of the server count together, by the names of its metrics without their prefix
      C(c100k_server_all_workers_), with labels where there are any.
    - Null when it does not answer.
  returned: success
  type: dict
  sample: {connections: 25000, messages_received_total: 750000, 'connections_closed_total{cause="reset"}': 0}
loadgen:
  description: What the generator counts, in the same way, with the prefix C(c100k_loadgen_).
  returned: success
  type: dict
  sample: {connections: 25000, messages_answered_total: 750000, message_errors_total: 0}
processes:
  description: The processes that were asked for, always as their host sees them.
  returned: success
  type: list
  elements: dict
  contains:
    pid:
      description: Number of the process.
      type: int
    command:
      description: Its command line.
      type: str
    rss_bytes:
      description: Resident memory.
      type: int
    pss_bytes:
      description: The same, with shared pages divided among those who share them, or null where that may not be read.
      type: int
    threads:
      description: Its threads.
      type: int
    open_files:
      description: Files and sockets that it has open, or null where that may not be read.
      type: int
"""

import os
import re
from http.client import HTTPException
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.c100k.harness.plugins.module_utils import exposition, host_figures
from ansible_collections.c100k.harness.plugins.module_utils.metrics_parts import ARGUMENTS, PARTS, PREFIXES

PROC = Path("/proc")

_NAMED_NUMBER = re.compile(r"^(\w+):\s+(\d+)", re.MULTILINE)


def ask(url, answer_limit_s):
    """The series that a program shows, none where nobody answers."""
    try:
        return exposition.read(open_url(url, timeout=answer_limit_s, use_proxy=False).read().decode())
    except (OSError, HTTPException, ValueError):
        return []


def read_part(part, given):
    if part == "host":
        return host_figures.told(host_figures.read())
    return exposition.by_name(ask(given[f"{part}_metrics"], given["answer_limit_s"]), PREFIXES[part]) or None


def numbers(path):
    """The numbers of a file of /proc with lines of a name and a value; empty where it may not be read."""
    try:
        return {name: int(value) for name, value in _NAMED_NUMBER.findall(path.read_text())}
    except OSError:
        return {}


def command_line(process):
    """Empty for a thread of the kernel, and for a process that has ended."""
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def open_files(process):
    try:
        return sum(1 for _file in (process / "fd").iterdir())
    except OSError:
        return None


def ancestors(pid):
    """The process itself, and all that it descends from: their command lines may hold what is looked for."""
    found = set()
    while pid:
        found.add(pid)
        pid = numbers(PROC / str(pid) / "status").get("PPid", 0)
    return found


def wanted(pids, commands):
    """The processes of these numbers, and those of others whose command line has a match."""
    own = ancestors(os.getpid()) if commands else set()
    patterns = [re.compile(command) for command in commands]
    for pid in sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()):
        command = command_line(PROC / str(pid))
        if pid in pids or (pid not in own and command and any(pattern.search(command) for pattern in patterns)):
            yield pid, command


def cost(pid, command):
    """What a process costs, or None when it has ended meanwhile."""
    process = PROC / str(pid)
    status, memory = numbers(process / "status"), numbers(process / "smaps_rollup")
    if not status:
        return None
    return {
        "pid": pid,
        "command": command,
        "rss_bytes": status.get("VmRSS", 0) * 1024,
        "pss_bytes": memory["Pss"] * 1024 if "Pss" in memory else None,
        "threads": status["Threads"],
        "open_files": open_files(process),
    }


def main():
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    given = module.params
    try:
        processes = [cost(*process) for process in wanted(set(given["pids"]), given["commands"])]
    except re.error as error:
        module.fail_json(msg=f"One of commands is no regular expression: {error}")
    read = {part: read_part(part, given) if part in given["parts"] else None for part in PARTS}
    module.exit_json(
        changed=False,
        sources={part: None if figures is None else "direct" for part, figures in read.items()},
        processes=[process for process in processes if process],
        **read,
    )


if __name__ == "__main__":
    main()

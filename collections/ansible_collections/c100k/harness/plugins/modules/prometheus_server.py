#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""A Prometheus that lives as long as a run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_server
short_description: Start and stop a Prometheus that belongs to a run
version_added: 0.1.0
description:
  - Starts C(prometheus) as a process of its own, at low priority, and waits until it is ready. It needs no service
    manager.
  - It ends by itself after O(runtime_max_s), so that none outlives its run, whatever becomes of the controller.
  - The folder holds the configuration, the data, the log and the number of the process.
author:
  - The c100k authors (@c100k)
options:
  state:
    description: Whether it runs.
    type: str
    choices: [started, stopped]
    default: started
  directory:
    description: The folder with C(prometheus.yml).
    type: path
    required: true
  programs:
    description: Folders in which C(prometheus) is looked for beside C(PATH).
    type: list
    elements: path
    default: []
  address:
    description: The address that it listens on.
    type: str
    default: 127.0.0.1
  port:
    description: The port that it listens on.
    type: int
    default: 9090
  retention:
    description: How long it keeps samples, as Prometheus writes durations.
    type: str
    default: 15d
  remote_write_receiver:
    description: Whether it takes what others write to it, as M(c100k.harness.metrics_push) does.
    type: bool
    default: false
  runtime_max_s:
    description: It ends after so many seconds.
    type: int
    default: 3600
attributes:
  check_mode:
    description: Starts and stops nothing, and says whether it would.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Start Prometheus for a run
  c100k.harness.prometheus_server:
    directory: "{{ run_directory }}/monitoring"
    runtime_max_s: 900

- name: Stop it
  c100k.harness.prometheus_server:
    state: stopped
    directory: "{{ run_directory }}/monitoring"
"""

RETURN = r"""
pid:
  description: The number of the process, or null when none runs.
  returned: success
  type: int
url:
  description: Where it answers.
  returned: when O(state=started)
  type: str
  sample: http://127.0.0.1:9090
"""

import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

START_LIMIT_S = 20
STOP_LIMIT_S = 20
_POLL_S = 0.1


class Process:
    """The process whose number is in a file, with the moment it was started, lest another one has got its number."""

    def __init__(self, file):
        self._file = file
        self.pid, self._started = None, None
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(file.read_text())
            self.pid, self._started = int(record["pid"]), record["started"]

    @property
    def alive(self):
        return self.pid is not None and started(self.pid) == self._started

    def remember(self, pid):
        self.pid, self._started = pid, started(pid)
        self._file.write_text(json.dumps({"pid": pid, "started": self._started}))

    def stop(self):
        """All of its group; forcibly, when it does not end in time."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            if wait_until(lambda: not self.alive, STOP_LIMIT_S):
                break
        self._file.unlink(missing_ok=True)


def started(pid):
    """When a process was started, in ticks since boot; nothing for one that is gone, or dead and not yet buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def wait_until(condition, limit_s):
    give_up_at = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        time.sleep(_POLL_S)
    return True


def is_ready(url):
    try:
        return open_url(f"{url}/-/ready", timeout=1, use_proxy=False).status == 200
    except OSError:
        return False


def is_free(address, port):
    """Whether nobody listens there: Prometheus would only say so after it has read all its data."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def command(module, program, folder):
    """The command line; `timeout` is what bounds its life."""
    listen = f"{bracketed(module.params['address'])}:{module.params['port']}"
    return [
        *("timeout", "--kill-after=20", str(module.params["runtime_max_s"]), "nice", "-n", "10"),
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={module.params['retention']}",
        f"--web.listen-address={listen}",
        *(["--web.enable-remote-write-receiver"] if module.params["remote_write_receiver"] else []),
    ]


def bracketed(address):
    return f"[{address}]" if ":" in address else address


def complaint(log):
    """The first line about an error, as what was wrong with its command line comes before all of its help."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["it says nothing"]
    return next((line for line in lines if "err" in line.lower()), lines[-1])


def spawn(arguments, log):
    """Start what outlives this module, in a session of its own."""
    output = (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), output, (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawnp(arguments[0], arguments, os.environ, file_actions=files, setsid=True)


def start(module, process, folder, url):
    program = module.get_bin_path("prometheus", opt_dirs=module.params["programs"])
    if program is None:
        module.fail_json(msg="prometheus is not in PATH, nor in any of the folders of programs.")
    if not is_free(module.params["address"], module.params["port"]):
        module.fail_json(msg=f"Something listens at {url} already; give Prometheus another port.")
    if module.check_mode:
        return
    log = folder / "prometheus.log"
    process.remember(spawn(command(module, program, folder), log))
    if not wait_until(lambda: not process.alive or is_ready(url), START_LIMIT_S) or not process.alive:
        process.stop()
        module.fail_json(msg=f"Prometheus cannot be started: {complaint(log)}")


def main():
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
            "directory": {"type": "path", "required": True},
            "programs": {"type": "list", "elements": "path", "default": []},
            "address": {"type": "str", "default": "127.0.0.1"},
            "port": {"type": "int", "default": 9090},
            "retention": {"type": "str", "default": "15d"},
            "remote_write_receiver": {"type": "bool", "default": False},
            "runtime_max_s": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    folder = Path(module.params["directory"])
    process = Process(folder / "prometheus.pid")
    alive = process.alive
    if module.params["state"] == "stopped":
        if alive and not module.check_mode:
            process.stop()
        module.exit_json(changed=alive, pid=process.pid if process.alive else None)
    url = f"http://{bracketed(module.params['address'])}:{module.params['port']}"
    if not alive:
        start(module, process, folder, url)
    module.exit_json(changed=not alive, pid=process.pid if process.alive else None, url=url)


if __name__ == "__main__":
    main()

"""One server of a cluster on loopback, with one worker, whose sessions are in Redis."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any


class Node:
    """`c100k-server serve` with one worker, whose sessions are in Redis."""

    def __init__(self, name: str, redis: str, *options: str) -> None:
        self.name = name
        addresses = ("--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        state = ("--state", "redis", "--redis", redis, "--node", name)
        self.process = subprocess.Popen(
            [*(sys.executable, "-m", "c100k_server", "serve"), *addresses, *state, "--workers", "1", *options],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.workers: list[int] = []
        for line in self.process.stderr:
            event = json.loads(line)
            if event["event"] == "worker_started":
                self.workers.append(event["pid"])
            if event["event"] == "listening":
                self.port = int(event["tcp"].rpartition(":")[2])
            if hasattr(self, "port") and self.workers:
                break

    @property
    def target(self) -> dict[str, Any]:
        return {"name": self.name, "address": "127.0.0.1", "port": self.port}

    def signal(self, number: signal.Signals) -> None:
        """To all its processes, so that nobody says goodbye."""
        for pid in (self.process.pid, *self.workers):
            os.kill(pid, number)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
        self.process.communicate()

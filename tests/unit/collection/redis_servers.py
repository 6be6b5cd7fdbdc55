"""Real redis-server processes on loopback: host number N of a test has the address 127.0.N.1 and two instances."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

PORTS = (7110, 7111)
BUS_OFFSET = 10
PASSWORD = "of the tests"
NODE_TIMEOUT_MS = 1000


def program() -> str | None:
    """The server. Debian's package redis-tools, which starts no service, has it under another name."""
    return shutil.which("redis-server") or shutil.which("redis-check-rdb")


class RedisServers:
    """Starts and kills the instances of a test; all are gone when the test is over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: dict[tuple[int, int], subprocess.Popen[bytes]] = {}

    @staticmethod
    def address(host: int) -> str:
        return f"127.0.{host}.1"

    def start(self, hosts: Iterable[int], ports: Iterable[int] = PORTS) -> None:
        started = [(host, port) for host in hosts for port in ports]
        for host, port in started:
            self._start_one(host, port)
        for host, port in started:
            self._wait_until_it_listens(host, port)

    def _start_one(self, host: int, port: int) -> None:
        folder = self.folder / f"{host}-{port}"
        folder.mkdir(exist_ok=True)
        executable = program()
        assert executable is not None
        options = {
            "bind": self.address(host),
            "cluster-announce-ip": self.address(host),
            "port": port,
            "cluster-port": port + BUS_OFFSET,
            "cluster-enabled": "yes",
            "cluster-node-timeout": NODE_TIMEOUT_MS,
            "cluster-allow-replica-migration": "no",
            "cluster-require-full-coverage": "no",
            "requirepass": PASSWORD,
            "masterauth": PASSWORD,
            "repl-diskless-sync-delay": 0,
            "repl-ping-replica-period": 1,
            "save": "",
            "logfile": folder / "log",
            "dir": folder,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.running[host, port] = subprocess.Popen(["redis-server", *words], executable=executable)

    def _wait_until_it_listens(self, host: int, port: int) -> None:
        give_up = time.monotonic() + 10
        while True:
            try:
                socket.create_connection((self.address(host), port), 1).close()
            except OSError:
                assert time.monotonic() < give_up, (self.folder / f"{host}-{port}/log").read_text()
                time.sleep(0.02)
            else:
                return

    def kill(self, host: int, port: int) -> None:
        process = self.running.pop((host, port))
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)

    def lose_disk(self, host: int, port: int) -> None:
        """What a host that is installed anew has lost."""
        shutil.rmtree(self.folder / f"{host}-{port}")

    def stop(self) -> None:
        for host, port in list(self.running):
            self.kill(host, port)


def command(host: int, port: int, *words: str) -> str:
    """The answer to one command, through the distribution's own client."""
    argv = ["redis-cli", "--no-auth-warning", "-c", "-h", RedisServers.address(host), "-p", str(port), *words]
    environment = {**os.environ, "REDISCLI_AUTH": PASSWORD}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()

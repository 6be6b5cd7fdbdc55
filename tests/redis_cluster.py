"""A Redis Cluster of real servers: four masters with a replica each on loopback, unless a test wants it otherwise."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import hiredis

DEADLINE_S = 15.0
SLOTS = 16384
# Debian's redis-tools has the server under another name, without the service of its package redis-server.
PROGRAM = shutil.which("redis-server") or "/usr/bin/redis-check-rdb"
# How long a node may be silent before the others call it dead.
NODE_TIMEOUT_MS = 1000
OPTIONS = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
    "cluster-require-full-coverage": "no",
    "cluster-allow-replica-migration": "no",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "save": "",
    "protected-mode": "no",
    "loglevel": "warning",
}


class Place(NamedTuple):
    """Where servers listen, and the command that starts another one there."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


class RedisCluster:
    """`servers[0:masters]` begin as masters, `servers[masters:]` as their replicas, in the same order.

    Of several places each has one master in turn, and the replica of the one before.
    """

    def __init__(self, directory: Path, masters: int = 4, places: Sequence[Place] = (Place(),)) -> None:
        self.masters = masters
        self.places = [places[(index + (index >= masters)) % len(places)] for index in range(masters * 2)]
        self.ports = free_ports(masters * 4)
        self.servers: list[subprocess.Popen[bytes]] = []
        self._directory = directory
        # Which of its programs it is it reads from its name; in a namespace nothing else could give it one.
        self._program = directory / "redis-server"
        self._program.symlink_to(PROGRAM)
        try:
            for index in range(masters * 2):
                (directory / str(index)).mkdir()
                self.servers.append(self._launch(index))
            for index in range(masters * 2):
                until(lambda index=index: self.command(index, "PING") == b"PONG")
            self._form()
        except BaseException:
            self.close()
            raise

    @property
    def seeds(self) -> str:
        return ",".join(f"{self.places[index].address}:{self.ports[index]}" for index in range(self.masters))

    def command(self, index: int, *words: str | int) -> Any:
        """What one server says."""
        with socket.create_connection((self.places[index].address, self.ports[index]), 2) as connection:
            connection.sendall(hiredis.pack_command(words))
            reader = hiredis.Reader()
            while (reply := reader.gets()) is False:
                received = connection.recv(65536)
                if not received:
                    raise ConnectionError("closed")
                reader.feed(received)
            if isinstance(reply, hiredis.ReplyError):
                raise reply
            return reply

    def command_all(self, *words: str | int) -> None:
        for index in range(len(self.servers)):
            self.command(index, *words)

    def kill(self, *indexes: int) -> None:
        for index in indexes:
            self.servers[index].kill()
        for index in indexes:
            self.servers[index].wait()

    def pause(self, index: int) -> None:
        self.servers[index].send_signal(signal.SIGSTOP)

    def resume(self, index: int) -> None:
        self.servers[index].send_signal(signal.SIGCONT)

    def restart(self, *indexes: int) -> None:
        """What a restarted server had is gone, unless the others have it."""
        for index in indexes:
            self.servers[index] = self._launch(index)

    def repair(self) -> None:
        """Bring back who is dead, and wait until every slot has a master and every master a replica in step."""
        for index, server in enumerate(self.servers):
            if server.poll() is not None:
                self.restart(index)
            else:
                self.resume(index)
        until(self._is_whole)

    def give_back(self) -> None:
        """Bring the cluster to be whole, with the masters that it began with."""
        self.repair()
        for index in range(self.masters):
            if self.command(index, "ROLE")[0] != b"master":
                self.command(index, "CLUSTER", "FAILOVER")
                until(lambda index=index: self.command(index, "ROLE")[0] == b"master")
                until(self._is_whole)

    def master_of(self, key: str) -> int:
        """The server that is master of a key by now."""
        slot = self.command(self._alive(), "CLUSTER", "KEYSLOT", key)
        for first, last, master, *_ in self.command(self._alive(), "CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self.ports.index(master[1])
        raise AssertionError(f"nobody serves {key}")

    def replicas_of(self, master: int) -> list[int]:
        for _, _, node, *replicas in self.command(self._alive(), "CLUSTER", "SLOTS"):
            if node[1] == self.ports[master]:
                return [self.ports.index(each[1]) for each in replicas]
        return []

    def close(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()

    def _launch(self, index: int) -> subprocess.Popen[bytes]:
        place, bus = self.places[index], self.ports[index + self.masters * 2]
        options = {**OPTIONS, "bind": place.address, "port": str(self.ports[index]), "cluster-port": str(bus)}
        flags = [word for name, value in options.items() for word in (f"--{name}", value)]
        directory = self._directory / str(index)
        with (directory / "log").open("ab") as log:
            command = [*place.enter, str(self._program), *flags, "--dir", str(directory)]
            return subprocess.Popen(command, stdout=log, stderr=log)

    def _form(self) -> None:
        share = SLOTS // self.masters
        for index in range(self.masters * 2):
            self.command(index, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
            if index < self.masters:
                last = SLOTS - 1 if index == self.masters - 1 else (index + 1) * share - 1
                self.command(index, "CLUSTER", "ADDSLOTSRANGE", index * share, last)
            else:
                self.command(index, "CONFIG", "SET", "repl-ping-replica-period", 1)
        # Told from both sides, they need not hear of each other by gossip.
        for index in range(self.masters * 2):
            for other in range(index):
                bus = self.ports[other + self.masters * 2]
                self.command(index, "CLUSTER", "MEET", self.places[other].address, self.ports[other], bus)
        until(lambda: all(self._knows_all(index) for index in range(self.masters * 2)))
        for index in range(self.masters):
            name = self.command(index, "CLUSTER", "MYID").decode()
            self.command(self.masters + index, "CLUSTER", "REPLICATE", name)
        until(self._is_whole)

    def _knows_all(self, index: int) -> bool:
        nodes = self.command(index, "CLUSTER", "NODES").decode().splitlines()
        return len(nodes) == self.masters * 2 and not any("handshake" in line for line in nodes)

    def _is_whole(self) -> bool:
        with suppress(OSError, hiredis.ReplyError):
            for index in range(self.masters * 2):
                facts = self.command(index, "INFO", "replication").decode()
                if "cluster_state:ok" not in self.command(index, "CLUSTER", "INFO").decode():
                    return False
                if "role:master" in facts and "state=online" not in facts:
                    return False
                if "role:slave" in facts and "master_link_status:up" not in facts:
                    return False
                if b"fail" in self.command(index, "CLUSTER", "NODES"):
                    return False
                # A replica is named only to those who have heard how far it has come.
                if any(not replicas for _, _, _, *replicas in self.command(index, "CLUSTER", "SLOTS")):
                    return False
            return True
        return False

    def _alive(self) -> int:
        return next(index for index, server in enumerate(self.servers) if server.poll() is None)


def free_ports(count: int) -> list[int]:
    """Below those that clients are given, so that no client takes them meanwhile, and apart from those of other workers
    of pytest-xdist."""
    found: list[int] = []
    port = 21000 + 500 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while len(found) < count:
        port += 1
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while True:
        with suppress(ConnectionError):
            if condition():
                return
        assert time.monotonic() < end, f"not within {DEADLINE_S} s"
        time.sleep(0.02)

"""The module `session_routes` against real servers, with Redis behind them and without."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from .redis_servers import PASSWORD, RedisServers, program
from .test_redis_cluster import MASTER


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def server(name: str, *arguments: str) -> Iterator[dict[str, Any]]:
    """A server on loopback, as a node."""
    port, admin = free_port(), free_port()
    command = [sys.executable, "-m", "c100k_server", "serve", "--workers", "1", "--connections", "100", "--node", name]
    command += ["--tcp", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", *arguments]
    process = subprocess.Popen(command)
    try:
        give_up = time.monotonic() + 20
        while not is_ready(admin):
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.05)
        yield {"name": name, "address": "127.0.0.1", "port": port}
    finally:
        process.terminate()
        process.wait(timeout=20)


def is_ready(admin: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{admin}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def routes(collection: Path, origin: dict[str, Any], *nodes: dict[str, Any]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(collection / "plugins/modules/session_routes.py")],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"origin": origin, "nodes": nodes, "timeout_s": 5}}),
        env={**os.environ, "PYTHONPATH": str(collection.parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)["routes"]
    return found


def test_without_a_shared_store_nothing_is_reached_and_it_says_why(collection: Path) -> None:
    gone = {"name": "gone", "address": "127.0.0.1", "port": free_port()}
    with server("one") as one, server("two") as two:
        to_two, to_gone = routes(collection, one, two, gone)
        assert (to_two["origin"], to_two["node"], to_two["resume_ms"]) == ("one", "two", None)
        assert "does the server run with --state redis?" in to_two["problem"]
        (from_gone,) = routes(collection, gone, one)
        assert "refused" in from_gone["problem"]
    assert to_gone["problem"]


@pytest.mark.skipif(program() is None, reason="redis-server is missing: scripts/host-packages redis-tools")
def test_a_session_is_reached_with_all_that_it_had(collection: Path, tmp_path: Path) -> None:
    redis = RedisServers(tmp_path)
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    with ExitStack() as stack:
        stack.callback(redis.stop)
        redis.start([1, 2, 3])
        form(collection)
        shared = ("--state", "redis", "--redis", f"127.0.1.1:{MASTER}", "--redis-password-file", str(password))
        one, two = (stack.enter_context(server(name, *shared)) for name in ("one", "two"))
        for origin, node in ((one, two), (two, one)):
            (found,) = routes(collection, origin, node)
            assert found["problem"] is None
            assert found["message_ms"] > 0
            assert found["resume_ms"] > 0


def form(collection: Path) -> None:
    """The Redis Cluster, by the module that does it on the hosts."""
    hosts = [{"host": f"node{host}", "address": RedisServers.address(host)} for host in (1, 2, 3)]
    arguments = {"hosts": hosts, "ports": [MASTER, MASTER + 1], "bus_offset": 10, "password": PASSWORD}
    subprocess.run(
        [sys.executable, "-W", "ignore", str(collection / "plugins/modules/redis_cluster.py")],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        env={**os.environ, "PYTHONPATH": str(collection.parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )

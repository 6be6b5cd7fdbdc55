"""One command against servers that others wrote, told nothing of them but their address, a tool and its arguments."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import HERE, MODULES, NODE
from .test_loadgen import SDK

CONNECTIONS, RATE, DURATION = 8, 40, 2
EVERYTHING = MODULES / "server-everything" / "dist" / "index.js"

pytestmark = pytest.mark.conformance


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[str]:
    """The address of a server, once it listens."""
    environment = {**os.environ, "PORT": str(port)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up_at = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < give_up_at
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens_on_all_interfaces(port: int) -> bool:
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    local = {row[1].split(":")[0] for row in rows if int(row[1].split(":")[1], 16) == port and row[3] == "0A"}
    return local != {"0100007F"}


SERVERS = {
    "TypeScript": [str(NODE), "--require", str(HERE / "loopback_only.cjs"), str(EVERYTHING), "streamableHttp"],
    "Python 1": [str(SDK).replace("/2/bin", "/1/bin"), str(HERE / "sdk_1_server.py")],
    "Python 2": [str(SDK), str(HERE / "sdk_2_server.py")],
}


@pytest.mark.parametrize(
    ("name", "tool", "arguments", "era"),
    [
        ("TypeScript", "get-sum", {"a": 2, "b": 3}, "session, MCP 2025-11-25"),
        ("Python 1", "echo", None, "session, MCP 2025-11-25"),
        ("Python 2", "echo", None, "stateless, MCP 2026-07-28"),
    ],
)
def test_a_server_that_others_wrote(name: str, tool: str, arguments: dict[str, int] | None, era: str) -> None:
    port = free_port()
    command = SERVERS[name] + ([] if name == "TypeScript" else [str(port)])
    load = ("--connections", str(CONNECTIONS), "--rate", str(RATE), "--duration", str(DURATION), "--ramp", "4")
    call = ("--tool", tool, *(() if arguments is None else ("--arguments", json.dumps(arguments))))
    sla = ("--sla", "errors==0", "--sla", "connections==100%")
    with running(command, port) as url:
        assert not listens_on_all_interfaces(port)
        ended = subprocess.run(
            [sys.executable, "-m", "c100k_loadgen", "run", url, *load, *call, *sla],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"({era})" in ended.stdout
    intended = RATE * DURATION
    assert f"{intended} intended, {intended} sent, {intended} answered" in ended.stdout


def test_a_tool_that_the_server_has_not() -> None:
    port = free_port()
    with running(SERVERS["TypeScript"], port) as url:
        ended = subprocess.run(
            [sys.executable, "-m", "c100k_loadgen", "run", url, "--tool", "no-such-tool", "--duration", "1"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert ended.returncode == 1
    assert "(rpc_error 100)" in ended.stdout

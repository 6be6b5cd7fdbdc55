"""WebSocket, stdio and the stateless era over TCP, as the command line drives them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import command
from .test_stand_alone import CONNECTIONS, DURATION, LOAD, PATIENT, RATE, Loadgen, Serve

_HERE = Path(__file__).parent
ALL_ANSWERED = f"{RATE * DURATION} intended, {RATE * DURATION} sent, {RATE * DURATION} answered"


def stdio(*words: str) -> str:
    return f"stdio:{shlex.join(words)}"


@pytest.fixture
def others_server() -> Iterator[Callable[[str], str]]:
    """Starts a WebSocket server that others wrote; returns its URL."""
    started: list[subprocess.Popen[str]] = []

    def start(behaviour: str) -> str:
        script = str(_HERE / "misbehaving_websocket_server.py")
        process = subprocess.Popen([sys.executable, script, behaviour], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return f"ws://127.0.0.1:{int(process.stdout.readline())}/any/path"

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "(session, MCP 2025-11-25), calls of echo"),
        (("--protocol", "2026-07-28", "--payload-bytes", "70000"), "(stateless, MCP 2026-07-28), calls of echo"),
    ],
)
@pytest.mark.parametrize("scheme", ["ws", "tcp"])
def test_both_eras_without_http(
    serve: Serve, loadgen: Loadgen, scheme: str, options: tuple[str, ...], said: str
) -> None:
    server = serve(f"--{scheme}", "127.0.0.1:0")
    url = f"{scheme}://localhost:{server.ports[scheme]}"
    ran = loadgen("run", url, *LOAD, *PATIENT, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ALL_ANSWERED in ran.stdout
    assert said in ran.stdout
    assert f"target         {url}" in ran.stdout


def test_an_encrypted_websocket_with_a_token(
    serve: Serve, loadgen: Loadgen, certificate: tuple[str, str], tmp_path: Path
) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("secret-3\n")
    authority, key = certificate
    server = serve("--ws", "127.0.0.1:0", "--tls-cert", authority, "--tls-key", key, "--token-file", str(tokens))
    url = f"wss://localhost:{server.ports['ws']}/mcp"
    ran = loadgen("run", url, *LOAD, *PATIENT, "--ca-file", authority, "--token-file", str(tokens))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ALL_ANSWERED in ran.stdout
    refused = loadgen("run", url, *LOAD, "--ca-file", authority)
    assert refused.returncode == 1
    assert "localhost answers the handshake with HTTP 401; give a token with --token-file" in refused.stderr


@pytest.mark.parametrize("behaviour", ["whole", "fragmented"])
def test_frames_of_another_server(others_server: Callable[[str], str], loadgen: Loadgen, behaviour: str) -> None:
    ran = loadgen("run", others_server(behaviour), *LOAD, *PATIENT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ALL_ANSWERED in ran.stdout


@pytest.mark.parametrize(("behaviour", "cause"), [("closing", "close_1013"), ("binary", "garbage")])
def test_why_a_websocket_was_closed(
    others_server: Callable[[str], str], loadgen: Loadgen, tmp_path: Path, behaviour: str, cause: str
) -> None:
    results = tmp_path / "results.json"
    ran = loadgen("run", others_server(behaviour), *LOAD, "--no-reconnect", "--json", str(results))
    assert ran.returncode == 1, ran.stderr
    closes = json.loads(results.read_text())["connections"]["closes"]
    assert closes[cause] >= CONNECTIONS
    assert set(closes) <= {cause, "stop"}


def test_a_process_for_each_connection(loadgen: Loadgen) -> None:
    ran = loadgen("run", stdio(sys.executable, "-m", "c100k_server", "stdio"), *LOAD, *PATIENT, "--ramp", "6")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ALL_ANSWERED in ran.stdout


def test_stdio_in_the_stateless_era(loadgen: Loadgen) -> None:
    server = stdio(sys.executable, "-m", "c100k_server", "stdio")
    ran = loadgen("run", server, *LOAD, *PATIENT, "--ramp", "6", "--protocol", "2026-07-28")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ALL_ANSWERED in ran.stdout


def misbehaving(behaviour: str, title: str) -> tuple[str, ...]:
    return sys.executable, str(_HERE / "misbehaving_stdio_server.py"), behaviour, title


@pytest.mark.parametrize(("behaviour", "cause"), [("exit", "exit_7"), ("killed", "signal_SIGKILL")])
def test_how_a_process_ended(loadgen: Loadgen, tmp_path: Path, behaviour: str, cause: str) -> None:
    results = tmp_path / "results.json"
    load = ("--connections", "2", "--rate", "20", "--duration", "2", "--ramp", "1", "--settle", "2")
    server = stdio(*misbehaving(behaviour, "mine"))
    ran = loadgen("run", server, *load, "--no-reconnect", "--json", str(results))
    assert ran.returncode == 1, ran.stdout + ran.stderr
    closes = json.loads(results.read_text())["connections"]["closes"]
    assert closes[cause] >= 2
    assert set(closes) <= {cause, "stop"}


def living(title: str) -> list[int]:
    """The processes that were started with that word."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            zombie = (path.parent / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if title.encode() in words and not zombie:
            found.append(int(path.parent.name))
    return found


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def wait_until(condition: Callable[[], Any]) -> None:
    give_up_at = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_no_process_outlives_a_run(loadgen: Loadgen, tmp_path: Path) -> None:
    title = f"ends-{os.getpid()}"
    ran = loadgen("run", stdio(*misbehaving("never", title)), *LOAD, "--connections", "2", "--ramp", "1", *PATIENT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ALL_ANSWERED in ran.stdout
    assert living(title) == []


@pytest.mark.parametrize(("whom", "number"), [("run", signal.SIGTERM), ("run", signal.SIGKILL), ("w", signal.SIGKILL)])
def test_no_process_outlives_one_that_is_killed(whom: str, number: signal.Signals) -> None:
    title = f"killed-{whom}-{number}-{os.getpid()}"
    load = ("--connections", "3", "--rate", "10", "--duration", "60", "--settle", "0")
    run = subprocess.Popen(
        command("run", stdio(*misbehaving("never", title)), *load), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: len(living(title)) == 6)  # three, and what each has started
    [worker] = children_of(run.pid)
    os.kill(run.pid if whom == "run" else worker, number)
    run.communicate(timeout=60)
    wait_until(lambda: not living(title))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("stdio:",), "write stdio:COMMAND ARGUMENTS"),
        (("stdio:'x",), "this is no command: No closing quotation"),
        (("stdio:no-such-command-here",), "no-such-command-here is no command of this host"),
        (("stdio:cat", "--connections", "201"), "over stdio each is a process, 200 at most"),
        (("stdio:cat", "--token-env", "HOME"), "token is of no use over stdio"),
        (("stdio:cat", "--connection", "listen"), "connection is listen, which needs transport: http"),
    ],
)
def test_what_stdio_cannot_do(loadgen: Loadgen, arguments: tuple[str, ...], sentence: str) -> None:
    ran = loadgen("run", *arguments)
    assert ran.returncode == 2, ran.stderr
    assert sentence in ran.stderr


def test_a_process_that_does_not_speak_mcp(loadgen: Loadgen) -> None:
    ran = loadgen("run", "stdio:true")
    assert ran.returncode == 1
    assert "true cannot be asked what it speaks" in ran.stderr


@pytest.mark.parametrize(
    ("target", "transport", "sentence"),
    [
        ({"address": "127.0.0.1", "port": 1}, "stdio", "transport: stdio is for targets with a command"),
        ({"command": ["cat"]}, "tcp", "transport: stdio is for targets with a command"),
        ({"command": ["cat"], "address": "127.0.0.1", "port": 1}, "stdio", "needs either address or command"),
        ({}, "tcp", "needs either address or command"),
    ],
)
def test_a_plan_says_where_targets_are(
    loadgen: Loadgen, tmp_path: Path, target: dict[str, Any], transport: str, sentence: str
) -> None:
    plan = {"schema_version": 1, "run_id": "r", "host": "h", "connections": 1, "rate_per_s": 1}
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**plan, "transport": transport, "targets": [{"name": "server", **target}]}))
    ran = loadgen("check", str(path))
    assert ran.returncode == 2, ran.stderr
    assert sentence in ran.stderr

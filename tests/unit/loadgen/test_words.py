"""What servers say when they refuse, as a run tells it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from .test_stand_alone import DURATION, RATE, Loadgen, Serve
from .test_stand_alone import LOAD as LOAD_AT_ONCE
from .test_transports import misbehaving, stdio

#: With time to connect, so that not even the first message finds no connection.
LOAD = (*LOAD_AT_ONCE, "--ramp", "1")
#: The settle phase has as many messages as the measuring.
ALL = 2 * RATE * DURATION


@pytest.mark.parametrize("protocol", ["2025-11-25", "2026-07-28"])
def test_an_unknown_tool(serve: Serve, loadgen: Loadgen, tmp_path: Path, protocol: str) -> None:
    server, results = serve(), tmp_path / "results.json"
    url = f"http://127.0.0.1:{server.port}/mcp"
    ran = loadgen("run", url, *LOAD, "--tool", "foo", "--protocol", protocol, "--json", str(results))
    assert ran.returncode == 1, ran.stderr
    said = json.loads(results.read_text())["said"]
    [(words, count)] = said.items()
    assert "-32602" in words
    assert "foo" in words
    assert count == ALL
    line = f"{words} (\u00d7 {ALL:,})"
    assert f"servers said   {line}" in ran.stdout
    assert words in ran.stderr, "it is told while the run goes on, too"


def test_a_result_that_is_an_error(serve: Serve, loadgen: Loadgen) -> None:
    server = serve("weather:app", "--tcp", "127.0.0.1:0")
    tool = ("--tool", "forecast", "--arguments", '{"city": "atlantis"}')
    ran = loadgen("run", f"tcp://127.0.0.1:{server.ports['tcp']}", *LOAD, *tool)
    assert ran.returncode == 1
    assert "servers said   the result is an error:" in ran.stdout
    assert f"(\u00d7 {ALL})" in ran.stdout


class Refusing(BaseHTTPRequestHandler):
    """Answers `server/discover`, and refuses each call in other words."""

    protocol_version = "HTTP/1.1"
    refused = 0

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if message["method"] == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {}, "resultType": "complete"}
            self._answer(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode())
            return
        Refusing.refused += 1
        # Each is 1,000 characters long, and has a control character.
        self._answer(503, f"{Refusing.refused} too busy\x1b[2J ".encode() + b"x" * 1000)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nobody needs it."""


def test_words_are_bounded_in_number_and_size(loadgen: Loadgen, tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    results = tmp_path / "results.json"
    try:
        ran = loadgen("run", f"http://127.0.0.1:{server.server_port}/mcp", *LOAD, "--json", str(results))
    finally:
        server.shutdown()
        server.server_close()
    assert ran.returncode == 1, ran.stderr
    said = json.loads(results.read_text())["said"]
    assert len(said) == 11
    assert sum(said.values()) == ALL
    assert said.pop("(anything else)") == ALL - 10
    assert all(len(words) == 200 and words.startswith("HTTP 503 ") and words.isprintable() for words in said)


def test_a_refused_handshake(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("secret-4\n")
    server = serve("--ws", "127.0.0.1:0", "--token-file", str(tokens))
    # Nothing asks before the run when the revision is given.
    for scheme, port in (("ws", server.ports["ws"]), ("http", server.port)):
        ran = loadgen("run", f"{scheme}://127.0.0.1:{port}/mcp", *LOAD, "--protocol", "2025-11-25")
        assert ran.returncode == 1
        assert "servers said   HTTP 401 " in ran.stdout
        assert "a bearer token is needed" in ran.stdout


def test_last_words_of_a_process(loadgen: Loadgen) -> None:
    load = ("--connections", "2", "--rate", "20", "--duration", "2", "--ramp", "1", "--settle", "2")
    ran = loadgen("run", stdio(*misbehaving("exit", "mine")), *load, "--no-reconnect")
    assert ran.returncode == 1
    assert "servers said   exit_7 the disk is full" in ran.stdout

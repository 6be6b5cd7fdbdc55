"""The real command, started as a user starts it, on free loopback ports."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

import c100k_server

DEADLINE_S = 30
SOURCE = Path(c100k_server.__file__).parent.parent
EXAMPLES = Path(__file__).parents[3] / "server/examples"


class Client:
    """One TCP connection that speaks a JSON message a line."""

    def __init__(self, address: tuple[str, int], receive_buffer_bytes: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(DEADLINE_S)
        self.socket.connect(address)
        self._received = b""

    def send(self, *messages: object) -> None:
        """Send messages in one segment; bytes go as they are."""
        self.socket.sendall(b"".join(m if isinstance(m, bytes) else json.dumps(m).encode() + b"\n" for m in messages))

    def receive(self) -> Any:
        """The next message, or None once the server has closed."""
        while b"\n" not in self._received:
            data = self.socket.recv(65536)
            if not data:
                assert not self._received, f"closed in the middle of {self._received!r}"
                return None
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def request(self, method: str, params: object = None, request_id: object = 1) -> Any:
        message = {"jsonrpc": "2.0", "id": request_id, "method": method}
        self.send(message if params is None else {**message, "params": params})
        return self.receive()

    def initialize(self, version: str = "2025-11-25") -> Any:
        information = {"name": "test", "version": "0"}
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": information}
        answer = self.request("initialize", params, 0)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def echo(self, text: str, request_id: object = 1) -> Any:
        return self.request("tools/call", {"name": "echo", "arguments": {"text": text}}, request_id)


class HttpClient:
    """A connection over HTTP that is kept, and the session that was opened with it."""

    BOTH: ClassVar = "application/json, text/event-stream"
    META: ClassVar[dict[str, Any]] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }

    def __init__(self, address: tuple[str, int]) -> None:
        self.connection = http.client.HTTPConnection(*address, timeout=10)
        self.session: dict[str, str] = {}

    def ask(self, method: str, body: Any = None, **headers: str | None) -> tuple[int, Any]:
        """The status, and the body: an object, or the list of the data of its events. None drops a header."""
        usual = {"Accept": self.BOTH, "Content-Type": "application/json", **self.session}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {name: value for name, value in {**usual, **given}.items() if value is not None}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        path = sent.pop("path", "/mcp")
        self.connection.request(method, path, content, sent)
        response = self.connection.getresponse()
        received = response.read()
        if "Mcp-Session-Id" in response.headers:
            self.session = {"Mcp-Session-Id": response.headers["Mcp-Session-Id"]}
        if response.headers.get("Content-Type") == "text/event-stream":
            data = [line[6:] for line in received.decode().split("\n") if line.startswith("data: ")]
            return response.status, [json.loads(each) for each in data if each]
        return response.status, json.loads(received) if received else None

    def call(self, method: str, params: Any, **headers: str | None) -> tuple[int, Any]:
        return self.ask("POST", {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, **headers)

    def initialize(self, **capabilities: Any) -> Any:
        params = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "test"}}
        status, answer = self.call("initialize", params)
        assert status == 200
        assert self.ask("POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}) == (202, None)
        return answer["result"]

    def stateless(self, method: str, params: dict[str, Any], name: str | None = None, **headers: Any) -> Any:
        meta = {**self.META, **headers.pop("meta", {})}
        routing = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method, "Mcp_Name": name}
        return self.call(method, {**params, "_meta": meta}, **{**routing, **headers})

    def open(self, method: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """An answer that is still to be read."""
        content = None if body is None else json.dumps(body).encode()
        sent = {"Accept": self.BOTH, "Content-Type": "application/json", **self.session}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, "/mcp", content, {**sent, **given})
        return self.connection.getresponse()


class Server:
    """A running `c100k-server serve`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pids: dict[int, int] = {}
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._clients: list[Client] = []
        self._reader = threading.Thread(target=self._read_events)
        self._reader.start()
        listening = self.event("listening")
        self.tcp = address_of(listening["tcp"])
        self.http = address_of(listening["http"]) if "http" in listening else ("", 0)
        self.ws = address_of(listening["ws"]) if "ws" in listening else ("", 0)
        self.admin = listening["admin"]

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name; those before it are passed over."""
        while True:
            event = self._events.get(timeout=DEADLINE_S)
            if event["event"] == "worker_started":
                self.pids[event["worker"]] = event["pid"]
            if event["event"] == name:
                return event

    def connect(self, *, initialized: bool = True, receive_buffer_bytes: int | None = None) -> Client:
        client = Client(self.tcp, receive_buffer_bytes)
        self._clients.append(client)
        if initialized:
            client.initialize()
        return client

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://{self.admin}{path}", timeout=DEADLINE_S) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metrics(self) -> dict[str, float]:
        """All samples, by name and labels as they are written."""
        status, text = self.get("/metrics")
        assert status == 200
        samples = (re.fullmatch(r"c100k_server_(\S+) (\S+)", line) for line in text.splitlines())
        return {sample[1]: float(sample[2]) for sample in samples if sample}

    def total(self, name: str, cause: str = "") -> float:
        """A metric summed over workers."""
        labels = f',cause="{cause}"' if cause else ""
        pattern = re.compile(rf'{name}\{{worker="\d+"{labels}\}}')
        return sum(value for key, value in self.metrics().items() if pattern.fullmatch(key))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"not within {DEADLINE_S} s; metrics: {self.metrics()}"
            time.sleep(0.02)

    def wait_closed(self, cause: str, count: int = 1) -> None:
        self.wait_until(lambda: self.total("connections_closed_total", cause) == count)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def clean_up(self) -> None:
        for client in self._clients:
            client.socket.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _read_events(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._events.put(json.loads(line))


def address_of(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Start a server with options of its own; all are gone after the test."""
    servers: list[Server] = []

    def start(*options: str, file_limit: int | None = None) -> Server:
        process = launch("serve", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0", *options, file_limit=file_limit)
        try:
            servers.append(Server(process))
        except BaseException:
            process.kill()
            process.wait()
            raise
        return servers[-1]

    yield start
    for server in servers:
        server.clean_up()


@pytest.fixture
def serve(start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Serve an app, an example unless a directory is given; the server, and a function that connects to it."""
    clients: list[HttpClient] = []

    def start(app: str, *options: str, directory: Path = EXAMPLES) -> tuple[Server, Callable[[], HttpClient]]:
        monkeypatch.chdir(directory)
        app = app if ":" in app else f"{app}:app"
        server = start_server(app, "--http", "127.0.0.1:0", *options)

        def connect() -> HttpClient:
            clients.append(HttpClient(server.http))
            return clients[-1]

        return server, connect

    yield start
    for client in clients:
        client.connection.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of one worker that tests share which leave it as it was."""
    addresses = ("--tcp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    running = Server(launch("serve", *addresses, "--workers", "1"))
    yield running
    running.clean_up()


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command to its end."""

    def run(
        *arguments: str, file_limit: int | None = None, python_path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = launch(*arguments, file_limit=file_limit, python_path=python_path)
        output, errors = process.communicate(timeout=DEADLINE_S)
        return subprocess.CompletedProcess(process.args, process.returncode, output, errors)

    return run


@pytest.fixture
def certify(tmp_path: Path) -> Callable[[str], tuple[str, str]]:
    """Make a certificate for 127.0.0.1 that vouches for itself, and its key; their files."""

    def make(name: str) -> tuple[str, str]:
        certificate, key = str(tmp_path / f"{name}.pem"), str(tmp_path / f"{name}.key")
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ]
        subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, *subject, "-out", certificate, "-keyout", key], check=True, capture_output=True)
        return certificate, key

    return make


def launch(*arguments: str, file_limit: int | None = None, python_path: Path | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "c100k_server", *arguments]
    if file_limit is not None:
        command = ["sh", "-c", f'ulimit -n {file_limit}; exec "$@"', "sh", *command]
    path = os.pathsep.join(str(each) for each in (python_path, SOURCE) if each)
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path})

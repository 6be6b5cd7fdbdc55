"""HTTP for operators."""

from __future__ import annotations

import re
import socket
from typing import Any

import pytest

SAMPLE = re.compile(r'c100k_server_[a-z_]+\{worker="(\d+|parent)"(,cause="[a-z_]+")?\} [0-9.e+-]+')


def ask(admin: str, request: bytes) -> bytes:
    host, _, port = admin.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


def test_metrics_are_well_formed_and_described(server: Any) -> None:
    server.connect().echo("x")
    status, text = server.get("/metrics")
    assert status == 200
    described = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            described.add(line.split()[2])
        elif not line.startswith("# HELP "):
            assert SAMPLE.fullmatch(line), line
            assert line.partition("{")[0] in described
    for name in (
        "up", "worker_starts_total", "connections", "connections_opened_total", "connections_closed_total",
        "messages_received_total", "messages_sent_total", "request_errors_total", "cpu_seconds_total",
        "resident_memory_bytes", "gc_pause_max_seconds", "loop_lag_max_seconds",
    ):  # fmt: skip
        assert f"c100k_server_{name}" in described
    samples = server.metrics()
    assert samples['cpu_seconds_total{worker="parent"}'] > 0
    assert samples['resident_memory_bytes{worker="0"}'] > 2**20
    assert samples['gc_pause_max_seconds{worker="0"}'] >= 0


def test_messages_are_counted(start_server: Any) -> None:
    server = start_server("--workers", "1")
    client = server.connect()
    client.echo("x")
    client.request("no/such")
    assert server.total("messages_received_total") == 4
    assert server.total("messages_sent_total") == 3
    assert server.total("request_errors_total") == 1


def test_health(server: Any) -> None:
    assert server.get("/healthz") == (200, "serving: 1 of 1 workers up\n")
    assert server.get("/readyz")[0] == 200
    assert server.get("/nothing")[0] == 404


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"HEAD /healthz HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /healthz?verbose HTTP/1.0\r\n\r\n", b"200"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /metrics", b"400"),
        (b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n", b"431"),
    ],
)
def test_requests_as_they_come(server: Any, request_bytes: bytes, status: bytes) -> None:
    answer = ask(server.admin, request_bytes)
    assert answer.split()[1] == status
    if request_bytes.startswith(b"HEAD"):
        assert answer.endswith(b"\r\n\r\n")

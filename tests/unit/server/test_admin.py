"""HTTP for operators."""

from __future__ import annotations

import socket
from typing import Any

import pytest


def ask(admin: str, request: bytes) -> bytes:
    host, _, port = admin.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return answer


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

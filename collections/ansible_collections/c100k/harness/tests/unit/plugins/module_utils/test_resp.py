# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""The protocol of Redis, against a socket that says what a test wants."""

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.c100k.harness.plugins.module_utils import resp


@pytest.fixture
def connect():
    """Opens a connection to a server that answers all that it is asked with the same words."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard = []

        def serve(answer):
            client, _address = server.accept()
            with client:
                heard.append(client.recv(4096))
                client.sendall(answer)

        def opened(answer):
            threading.Thread(target=serve, args=(answer,), daemon=True).start()
            return resp.Connection(*server.getsockname(), "default", None), heard

        yield opened


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"+OK\r\n", "OK"),
        (b":42\r\n", 42),
        (b"$5\r\na\r\nbc\r\n", "a\r\nbc"),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*2\r\n:1\r\n*1\r\n+x\r\n", [1, ["x"]]),
    ],
)
def test_answers_are_read(connect, answer, expected):
    connection, heard = connect(answer)
    with connection:
        assert connection.call("GET", "name") == expected
    assert heard == [b"*2\r\n$3\r\nGET\r\n$4\r\nname\r\n"]


def test_an_error_is_raised(connect):
    connection, _heard = connect(b"-NOAUTH Authentication required.\r\n")
    with connection, pytest.raises(resp.RespError, match="NOAUTH"):
        connection.call("PING")


@pytest.mark.parametrize("answer", [b"", b"+cut short", b"HTTP/1.1 400\r\n"])
def test_what_is_no_answer_is_a_connection_that_failed(connect, answer):
    connection, _heard = connect(answer)
    with connection, pytest.raises(ConnectionResetError):
        connection.call("PING")

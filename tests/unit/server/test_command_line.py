"""The command line: what it refuses, and how."""

from __future__ import annotations

import socket
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], "serve"),
        (["dance"], "dance"),
        (["serve", "--fast"], "--fast"),
        (["serve", "--tcp"], "--tcp"),
        (["serve", "--tcp", "here"], "here"),
        (["serve", "--tcp", "::1:7000"], "[ADDRESS]:PORT"),
        (["serve", "--admin", "127.0.0.1:99999"], "99999"),
        (["serve", "--workers", "0"], "--workers"),
        (["serve", "--workers", "many"], "many"),
        (["serve", "--connections", "-1"], "--connections"),
        (["serve", "--max-line-bytes", "1e6"], "--max-line-bytes"),
        (["serve", "--write-buffer-bytes", "x"], "--write-buffer-bytes"),
        (["serve", "--drain-s", "nan"], "--drain-s"),
        (["serve", "--slow-reader-s", "soon"], "--slow-reader-s"),
    ],
)
def test_wrong_usage_is_one_sentence(run_command: Any, arguments: list[str], names: str) -> None:
    ended = run_command(*arguments)
    assert ended.returncode == 2
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("c100k-server: ")
    assert names in sentence


@pytest.mark.parametrize("option", ["--tcp", "--admin"])
@pytest.mark.parametrize("reuse_port", [False, True])
def test_port_in_use(run_command: Any, option: str, reuse_port: bool) -> None:
    other = "--admin" if option == "--tcp" else "--tcp"
    with socket.socket() as taken:
        # A server of the same user would share a port that is listened on with SO_REUSEPORT, unless it looks first.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run_command("serve", option, address, other, "127.0.0.1:0")
    assert ended.returncode == 1
    assert ended.stderr == f"c100k-server: cannot listen on {address} ({option}): Address already in use\n"


def test_address_of_another_host(run_command: Any) -> None:
    ended = run_command("serve", "--tcp", "192.0.2.1:7000", "--admin", "127.0.0.1:0")
    assert ended.returncode == 1
    assert ended.stderr.startswith("c100k-server: cannot listen on 192.0.2.1:7000 (--tcp): ")


def test_more_connections_than_files(run_command: Any) -> None:
    ended = run_command("serve", "--workers", "2", "--connections", "5000", file_limit=1000)
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert "5000 connections do not fit: 2 x 821 = 1642" in sentence
    assert "--workers 7" in sentence


def test_more_connections_than_memory(run_command: Any) -> None:
    ended = run_command("serve", "--connections", "1000000000000")
    assert ended.returncode == 1
    (sentence,) = ended.stderr.splitlines()
    assert "GiB" in sentence


def test_auto_starts_as_many_workers_as_the_file_limit_asks_for(start_server: Any) -> None:
    server = start_server("--connections", "900", file_limit=400)
    assert len(server.pids) == 4


def test_ipv6(start_server: Any) -> None:
    server = start_server("--workers", "1", "--tcp", "[::1]:0")
    with socket.create_connection((server.tcp[0].strip("[]"), server.tcp[1])) as connection:
        connection.sendall(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        assert connection.recv(1000) == b'{"jsonrpc":"2.0","id":1,"result":{}}\n'

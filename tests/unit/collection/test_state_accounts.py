"""The accounts of the role `state`, as a real Redis takes them."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis
import jinja2
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from redis_cluster import PROGRAM, free_ports, until

ROLE = Path(__file__).resolve().parents[3] / "collections/ansible_collections/c100k/harness/roles/state"
PASSWORDS = {"application": "secret-a", "operator": "secret-o"}
# What the server sends its scripts as: two writes, which the log has as a transaction.
TWO_WRITES = "redis.call('HSET', KEYS[1], 'v', 1) redis.call('PEXPIRE', KEYS[1], 600000) return 'OK'"


class Redis:
    """A Redis with the accounts of the role and its log; `ask` speaks to it as one of them, or as nobody."""

    def __init__(self, directory: Path) -> None:
        templates = jinja2.Environment(autoescape=False)
        templates.filters["hash"] = lambda text, how: hashlib.new(how, text.encode()).hexdigest()
        accounts = templates.from_string((ROLE / "templates/users.acl.j2").read_text())
        (directory / "users.acl").write_text(accounts.render(__state_passwords=PASSWORDS))
        self._directory = directory
        self._port = free_ports(1)[0]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Until it is killed."""
        options = {"port": self._port, "bind": "127.0.0.1", "dir": self._directory, "appendonly": "yes", "save": ""}
        command = [PROGRAM, "--aclfile", str(self._directory / "users.acl")]
        command += [word for name, value in options.items() for word in (f"--{name}", str(value))]
        process = subprocess.Popen(["redis-server", *command[1:]], executable=PROGRAM, stdout=subprocess.DEVNULL)
        try:
            until(lambda: self.ask("operator", "PING") == b"PONG")
            yield
        finally:
            process.kill()
            process.wait()

    def ask(self, account: str | None, *words: str | int, password: str | None = None) -> Any:
        """The reply, also when it is a refusal; who was not let in asks all the same."""
        with socket.create_connection(("127.0.0.1", self._port), 2) as connection:
            reader = hiredis.Reader()
            login = [("AUTH", account, PASSWORDS[account] if password is None else password)] if account else []
            for each in (*login, words):
                connection.sendall(hiredis.pack_command(each))
                while (reply := reader.gets()) is False:
                    reader.feed(connection.recv(65536))
            return reply


@pytest.fixture
def redis(tmp_path: Path) -> Redis:
    return Redis(tmp_path)


def test_what_was_written_is_there_when_it_was_killed_and_is_back(redis: Redis) -> None:
    with redis.running():
        assert redis.ask("application", "EVAL", TWO_WRITES, 1, "session") == b"OK"

    with redis.running():
        assert redis.ask("application", "HGET", "session", "v") == b"1"
        assert redis.ask("application", "PTTL", "session") > 0


def test_nobody_gets_in_without_an_account(redis: Redis) -> None:
    with redis.running():
        for account, password in ((None, ""), ("default", ""), ("default", "secret-a"), ("operator", "secret-a")):
            assert "NOAUTH" in str(redis.ask(account, "GET", "session", password=password))


def test_the_application_may_not_administer(redis: Redis) -> None:
    with redis.running():
        for words in (("CONFIG", "GET", "*"), ("FLUSHALL",), ("SHUTDOWN",)):
            assert "NOPERM" in str(redis.ask("application", *words))

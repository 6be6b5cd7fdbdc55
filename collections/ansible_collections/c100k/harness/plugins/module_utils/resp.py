# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""A client of the Redis protocol (RESP2) on the standard library alone: the hosts get no package for it."""

from __future__ import annotations

import socket


class RespError(Exception):
    """An error that the server answered, such as `NOAUTH Authentication required.`."""


class Connection:
    """One connection, authenticated; use it in a `with` statement. Raises OSError when the server cannot be reached."""

    def __init__(self, address, port, username, password, timeout_s=5.0):
        self._socket = socket.create_connection((address, port), timeout_s)
        self._file = self._socket.makefile("rb")
        if password:
            try:
                self.call("AUTH", username, password)
            except BaseException:
                self.close()
                raise

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()

    def close(self):
        self._file.close()
        self._socket.close()

    def call(self, *words):
        """Send one command and return its answer. Raises RespError when the answer is an error."""
        return self.pipeline([words])[0]

    def pipeline(self, commands):
        """Send several commands at once and return their answers. Raises RespError for the first error among them."""
        self._socket.sendall(b"".join(encoded(words) for words in commands))
        answers = [self._answer() for _command in commands]
        for answer in answers:
            if isinstance(answer, RespError):
                raise answer
        return answers

    def _answer(self):
        line = self._file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"+":
            return rest
        if kind == b"-":
            return RespError(rest)
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == "-1" else self._file.read(int(rest) + 2)[:-2].decode(errors="surrogateescape")
        if kind == b"*":
            return None if rest == "-1" else [self._answer() for _item in range(int(rest))]
        raise ConnectionResetError(f"the server speaks another protocol: {line!r}")


def encoded(words):
    """A command as the server reads it: an array of strings."""
    parts = [str(word).encode(errors="surrogateescape") for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

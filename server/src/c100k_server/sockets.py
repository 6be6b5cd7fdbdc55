"""Listening sockets that several processes share."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from c100k_server.config import Address, KeepAlive
from c100k_server.errors import BindError

# The kernel clamps it to net.core.somaxconn.
BACKLOG = 65535
# What the kernel takes for a peer ahead of what it can send. A peer that reads nothing is owed no more, and one that
# reads is sent as much as before: what is under way does not count.
UNSENT_BYTES = 16384
# The socket module of Python 3.11 has no name for it.
_TCP_NOTSENT_LOWAT = 25


def reserve(address: Address, *, option: str) -> tuple[socket.socket, Address]:
    """Bind, without listening, the address that the workers will share, and say which it is with its port.

    The kernel hands a socket that does not listen no connection; holding it keeps others off the port while
    workers come and go. Raises `BindError`.
    """
    try:
        info = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family = info[0][0]
        numeric = Address(str(info[0][4][0]), address.port)
        # SO_REUSEPORT would let this server join another one of the same user without a word, so first
        # find out without it whether anyone listens.
        with _bound(family, numeric, share=False) as probe:
            resolved = Address(numeric.host, probe.getsockname()[1])
        return _bound(family, resolved, share=True), resolved
    except OSError as error:
        raise BindError(address=str(address), option=option, reason=error.strerror or str(error)) from None


def shared_listener(address: Address, keepalive: KeepAlive) -> socket.socket:
    """This process's own socket on a reserved address; accepted sockets inherit its options. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = _bound(family, address, share=True)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive.idle_s)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, keepalive.interval_s)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, keepalive.probes)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, keepalive.user_timeout_ms)
    listener.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    return listener


def unix_listener(path: str) -> socket.socket:
    """A socket that listens at `path`, which all workers accept from. Raises `BindError`.

    A socket file that nobody listens on is what a killed server leaves behind, and is replaced.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(path)
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            except ConnectionRefusedError:
                os.unlink(path)
            except FileNotFoundError:
                pass
        listener.bind(path)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise BindError(address=path, option="--unix", reason=error.strerror or str(error)) from None
    return listener


def remove(path: str) -> None:
    """Remove the file of a Unix socket."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _bound(family: int, address: Address, *, share: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((address.host, address.port))
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound

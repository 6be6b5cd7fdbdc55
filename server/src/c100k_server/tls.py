"""TLS in front of a listener: its certificate, and the handshakes that precede connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import cast

from c100k_server.config import TlsFiles
from c100k_server.errors import TlsFilesError
from c100k_server.listening import Listening
from c100k_server.statistics import CLOSED, OPENED

# Connections taken from the kernel in one turn of the loop: a handshake costs about a millisecond.
ACCEPT_BATCH = 16
# How long to leave the kernel's queue alone when there are no files left.
ACCEPT_PAUSE_S = 1.0
# How long a peer that was told that this end closes may take to say the same.
SHUTDOWN_S = 5.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def load_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises `TlsFilesError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Tickets are how TLS 1.3 resumes; two for each connection, the default, are as much memory again.
    context.num_tickets = 1
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a function OpenSSL would ask the terminal for a passphrase.
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        reason = "the key is not that of the certificate" if mismatch else f"OpenSSL cannot read them ({error.reason})"
        raise TlsFilesError(certificate=files.certificate, key=files.key, reason=reason) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TlsFilesError(certificate=files.certificate, key=files.key, reason=reason) from None
    return context


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, which nobody is there to type")


class Tls:
    """The certificate of a worker; `reload` has those who connect from now on see what is in its files now."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises `TlsFilesError`."""
        self._files = files
        self.context = load_context(files)
        self.handshake_s = files.handshake_s

    def reload(self) -> None:
        """Raises `TlsFilesError`, and then goes on with what it had."""
        self.context = load_context(self._files)


class TlsAcceptor:
    """Accepts from a socket, and gives what has shaken hands to a protocol made by `connect`.

    A handshake that fails is counted as a connection that was opened and closed. While it is under way it takes part
    in the limits of the listener, but is no connection yet.
    """

    def __init__(
        self,
        listening: Listening,
        listener: socket.socket,
        tls: Tls,
        connect: Callable[[], asyncio.Protocol],
        backlog: int,
    ) -> None:
        self.listening = listening
        self.tls = tls
        self.connect = connect
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        listener.listen(backlog)
        self._resume()

    def close(self) -> None:
        """Accept no more."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _resume(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                accepted, peer = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                self._loop.remove_reader(self._listener.fileno())
                self._pause = self._loop.call_later(ACCEPT_PAUSE_S, self._resume)
                return
            accepted.setblocking(False)
            Handshake(self, accepted).start(peer)


class Handshake(asyncio.Protocol):
    """A TLS handshake under way."""

    __slots__ = ("_accepted", "_acceptor", "_cause", "_done", "_task")

    def __init__(self, acceptor: TlsAcceptor, accepted: socket.socket) -> None:
        self._acceptor = acceptor
        self._accepted = accepted
        self._cause = "tls"
        self._done = False
        self._task: asyncio.Task[None] | None = None

    def start(self, peer: object) -> None:
        listening = self._acceptor.listening
        listening.uncounted += 1
        refusal = listening.admit(self, peer)
        if refusal is not None:
            self._accepted.close()
            self._fail(refusal)
        else:
            self._task = asyncio.get_running_loop().create_task(self._shake())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give way to the connection."""
        self._forget()
        self._done = True
        protocol = self._acceptor.connect()
        cast(asyncio.Transport, transport).set_protocol(protocol)
        protocol.connection_made(transport)

    def abort(self, cause: str) -> None:
        self._cause = cause
        if self._task is not None:
            self._task.cancel()

    def finish_when_idle(self) -> None:
        self.abort("drain")

    def time_out(self) -> None:
        """It has its own timeout."""

    async def _shake(self) -> None:
        tls = self._acceptor.tls
        try:
            async with asyncio.timeout(tls.handshake_s):
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: self,
                    self._accepted,
                    ssl=tls.context,
                    ssl_handshake_timeout=tls.handshake_s + 1,
                    ssl_shutdown_timeout=SHUTDOWN_S,
                )
        except TimeoutError:
            self._fail("slow_request")
        except (OSError, asyncio.CancelledError):
            self._fail(self._cause)

    def _fail(self, cause: str) -> None:
        if self._done:
            # What becomes of the connection is counted there.
            return
        figures = self._acceptor.listening.figures
        self._forget()
        figures[OPENED] += 1
        figures[CLOSED[cause]] += 1
        with contextlib.suppress(OSError):
            self._accepted.close()

    def _forget(self) -> None:
        self._acceptor.listening.uncounted -= 1
        self._acceptor.listening.forget(self)

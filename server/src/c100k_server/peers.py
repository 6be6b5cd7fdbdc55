"""What the workers of one host tell each other, over datagrams between processes: events, and connections.

The kernel gives a connection to any worker, but a session, or a task, lives in one. A request for one of another worker
is handed over with its connection, which stays there: clients keep their connections, so it happens once a session. Of
a connection with TLS the bytes are handed over, by a `Bridge`.
"""

from __future__ import annotations

import array
import asyncio
import os
import secrets
import socket
import struct
from collections.abc import Iterable

import msgspec

from c100k_server.http_connection import HttpConnection, HttpRequest
from c100k_server.http_endpoint import HttpListener
from c100k_server.subscriptions import Subscriptions

# A datagram has to fit into the buffer of a socket; longer requests travel in a file in memory.
INLINE_MAX_BYTES = 32 * 1024
DATAGRAM_MAX_BYTES = 64 * 1024
# unix(7): `struct ucred` is the process, user and group of the sender.
_CREDENTIALS = struct.Struct("3i")
_ANCILLARY_BYTES = socket.CMSG_SPACE(2 * array.array("i").itemsize) + socket.CMSG_SPACE(_CREDENTIALS.size)


class _Moved(msgspec.Struct, array_like=True):
    method: str
    path: bytes
    headers: dict[str, str]
    repeated: list[str]
    body: bytes
    keep_alive: bool
    peer: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Moved).decode


def make_mailboxes(workers: int) -> tuple[str, list[socket.socket]]:
    """The mailboxes of all workers, which outlive them, and what their names begin with.

    They are found by name, so that a worker needs no file for each of the others; the names are not of the file
    system, so that nothing of them is left. The kernel tells who sends: others can find the names too.
    """
    prefix = f"c100k-server-{secrets.token_hex(16)}"
    mailboxes = [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
    for worker, mailbox in enumerate(mailboxes):
        mailbox.setblocking(False)
        mailbox.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        mailbox.bind(_name(prefix, worker))
    return prefix, mailboxes


def _name(prefix: str, worker: int) -> bytes:
    """unix(7), abstract: a name that begins with a null byte."""
    return f"\0{prefix}-{worker}".encode()


def _read_ancillary(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[list[int], int | None]:
    """The files that came with a datagram, and the user who sent it."""
    fds = array.array("i")
    uid = None
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        elif kind == socket.SCM_CREDENTIALS:
            _, uid, _ = _CREDENTIALS.unpack(data)
    return fds.tolist(), uid


class Peers:
    """One worker among the others. `flush` must be called a few times per second."""

    def __init__(
        self,
        index: int,
        workers: int,
        inbox_fd: int,
        mailbox_prefix: str,
        subscriptions: Subscriptions,
        http: HttpListener | None,
        *,
        tells_events: bool,
    ) -> None:
        self._index = index
        self._workers = workers
        # It sends from there, too.
        self._inbox = socket.socket(fileno=inbox_fd)
        self._mailbox_prefix = mailbox_prefix
        self._subscriptions = subscriptions
        self._http = http
        # Unless the whole cluster is told.
        self._tells_events = tells_events
        self._loop = asyncio.get_running_loop()
        self._unsent: set[tuple[int, str]] = set()
        self._adopting: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        self._loop.add_reader(self._inbox.fileno(), self._receive)
        if self._tells_events:
            self._subscriptions.publish = self._publish
        if self._http is not None:
            self._http.hand_over = self._hand_over

    def flush(self) -> None:
        """Send the events that a full mailbox has delayed."""
        waiting, self._unsent = self._unsent, set()
        for worker, topic in waiting:
            self._tell(worker, topic)

    def _publish(self, topic: str) -> None:
        self._subscriptions.deliver(topic)
        for worker in range(self._workers):
            if worker != self._index:
                self._tell(worker, topic)

    def _tell(self, worker: int, topic: str) -> None:
        try:
            self._inbox.sendto(b"E" + topic.encode(), _name(self._mailbox_prefix, worker))
        except BlockingIOError:
            self._unsent.add((worker, topic))

    def _hand_over(self, worker: int, connection: HttpConnection, request: HttpRequest) -> bool:
        """Give a connection to another worker; False when there is none such, or it cannot be moved."""
        if worker == self._index or worker >= self._workers:
            return False
        moved = _encode(
            _Moved(
                request.method,
                request.path,
                request.headers,
                sorted(request.repeated),
                request.body,
                request.keep_alive,
                connection.peer,
            )
        )
        detached = connection.detach_socket()
        if detached is None:
            return False
        fd, let_go = detached
        fds = [fd]
        try:
            if len(moved) > INLINE_MAX_BYTES:
                fds.append(os.memfd_create("c100k-server-request"))
                os.write(fds[1], moved)
                moved = b""
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))
            self._inbox.sendmsg([b"C" + moved], [rights], 0, _name(self._mailbox_prefix, worker))
        except OSError:
            let_go(False)
            return False
        finally:
            for each in fds:
                os.close(each)
        let_go(True)
        return True

    def _receive(self) -> None:
        while True:
            try:
                data, ancillary, _, _ = self._inbox.recvmsg(DATAGRAM_MAX_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            fds, sender_uid = _read_ancillary(ancillary)
            if sender_uid != os.getuid():
                for fd in fds:
                    os.close(fd)
            elif data.startswith(b"E"):
                self._subscriptions.hear(data[1:].decode())
            elif fds and self._http is not None:
                task = self._loop.create_task(self._adopt(self._http, data[1:], fds))
                self._adopting.add(task)
                task.add_done_callback(self._adopting.discard)

    async def _adopt(self, http: HttpListener, moved: bytes, fds: list[int]) -> None:
        accepted = socket.socket(fileno=fds[0])
        if len(fds) > 1:
            with os.fdopen(fds[1], "rb") as file:
                file.seek(0)
                moved = file.read()
        request = HttpRequest()
        decoded = _decode(moved)
        request.method, request.path, request.headers = decoded.method, decoded.path, decoded.headers
        request.repeated, request.body, request.keep_alive = set(decoded.repeated), decoded.body, decoded.keep_alive
        try:
            _, connection = await self._loop.connect_accepted_socket(lambda: HttpConnection(http), accepted)
        except OSError:
            accepted.close()
            return
        connection.adopt(request, decoded.peer)

"""MCP over TCP and Unix sockets, one JSON message per line: the connections of one worker.

Lifecycle: connect and send `initialize`; cancel with `notifications/cancelled`; end by closing. When the server ends a
connection it sends what it still owes, closes its sending side, and waits for the peer to close.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator
from time import monotonic_ns
from typing import cast

from c100k_server.authentication import Principal
from c100k_server.config import ConnectionLimits
from c100k_server.framing import split_lines
from c100k_server.latency import SAMPLED
from c100k_server.listening import Listening, address_of
from c100k_server.service import Service
from c100k_server.session import Session, UnreadableMessagesError
from c100k_server.sockets import BACKLOG
from c100k_server.statistics import CLOSED, LIMITS, OPENED, PAUSED
from c100k_server.subscriptions import Event, Listener
from c100k_server.task_store import Owner
from c100k_server.tls import Tls, TlsAcceptor

# How long a peer that has been sent everything may take to close its side.
CLOSE_WAIT_S = 1.0
# Lines of a connection that are answered at once; the others are put off.
TURN_LINES = 2


class TcpListener(Listening):
    """Accepts connections. `check_deadlines` must be called a few times per second."""

    def __init__(self, transport: str, service: Service, limits: ConnectionLimits, connections_max: int) -> None:
        super().__init__(transport, service, limits, connections_max)
        service.subscriptions.audiences.append(self._audience)

    async def start(self, listener: socket.socket, tls: Tls | None) -> None:
        if tls is not None:
            self._server = TlsAcceptor(self, listener, tls, lambda: Connection(self), BACKLOG)
            return
        self._server = await self._loop.create_server(lambda: Connection(self), sock=listener, backlog=BACKLOG)

    async def start_unix(self, listener: socket.socket) -> None:
        self._server = await self._loop.create_unix_server(lambda: Connection(self), sock=listener, backlog=BACKLOG)

    def _audience(self) -> Iterable[Listener]:
        return [each for each in self.connections if isinstance(each, Connection) and each.has_session]


class Connection(asyncio.Protocol):
    """One client.

    While the peer does not read its answers nothing more is read from it, and `_waiting` holds the lines that were
    read already; `_next` holds those of the next turn of the loop. `_cause` is set once the connection is to end.
    """

    __slots__ = (
        "_cause",
        "_half_closed",
        "_heard",
        "_listener",
        "_next",
        "_partial",
        "_session",
        "_transport",
        "_waiting",
    )

    def __init__(self, listener: Listening) -> None:
        self._listener = listener
        self._session = Session(listener.service)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._partial: bytearray | None = None
        self._waiting: Iterator[bytes] | None = None
        self._next: Iterator[bytes] | None = None
        self._cause: str | None = None
        self._half_closed = False
        self._heard = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        listener = self._listener
        listener.figures[OPENED] += 1
        bound = listener.limits.write_buffer_bytes
        self._transport.set_write_buffer_limits(high=bound, low=bound // 4)
        refusal = listener.admit(self, transport.get_extra_info("peername") if listener.limits.per_peer_max else None)
        if refusal == "drain":
            self._finish("drain")
        elif refusal is not None:
            self.abort(refusal)
        else:
            listener.set_deadline(self, listener.limits.message_s)

    def data_received(self, data: bytes) -> None:
        if self._cause is not None:
            return
        listener = self._listener
        size = len(data)
        listener.bytes_received += size
        latency = listener.latency
        # What `arrive` does, without the call.
        latency.arrivals += 1
        latency.arrived_ns = 0 if latency.arrivals % SAMPLED else monotonic_ns()
        max_line_bytes = listener.limits.max_line_bytes
        # The usual wake-up brings exactly one whole message; it is spared the general case, 2 of 27 us when measured.
        if self._partial is None and data.find(b"\n") + 1 == size <= max_line_bytes:
            if not self._heard:
                self._heard = True
                listener.deadlines.pop(self, None)
            try:
                answer = self._session.handle(data, self)
            except UnreadableMessagesError as error:
                self._write(error.answer)
                self._finish("malformed")
                return
            if answer:
                self._transport.write(answer)
                listener.bytes_sent += len(answer)
                if latency.arrived_ns:
                    latency.answered()
            if listener.draining:
                self.finish_when_idle()
            return
        began = self._heard and self._partial is None
        lines, self._partial, oversize = split_lines(self._partial, data, max_line_bytes)
        if lines or began:
            self._heard = True
            listener.deadlines.pop(self, None)
        if self._partial is not None:
            listener.set_deadline(self, listener.limits.message_s)
        self._answer(iter(lines), last=oversize)
        if oversize and self._cause is None:
            self._write(self._session.refuse_oversize(max_line_bytes))
            self._finish("oversize")

    def _answer(self, lines: Iterator[bytes], *, last: bool = False) -> None:
        """Answer `lines`, those of one turn with one write, or one per filled write buffer, as long as the peer reads.

        When these are the `last` lines of a connection that is about to end, answer all of them.
        """
        listener = self._listener
        bound = listener.limits.write_buffer_bytes
        handle = self._session.handle
        answers: list[bytes] = []
        size = 0
        try:
            for position, line in enumerate(lines, 1):
                answer = handle(line, self)
                if answer:
                    answers.append(answer)
                    size += len(answer)
                if size >= bound:
                    self._write_answers(answers)
                    answers.clear()
                    size = 0
                    if self._waiting is not None and not last:
                        self._waiting = lines
                        return
                if position == TURN_LINES and not last:
                    self._next = lines
                    self._transport.pause_reading()
                    listener.service.turns.later(self._go_on)
                    break
        except UnreadableMessagesError as error:
            self._write_answers([*answers, error.answer])
            self._finish("malformed")
            return
        if answers:
            self._write_answers(answers)
        if listener.draining:
            self.finish_when_idle()

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        self._listener.bytes_sent += len(data)

    def _write_answers(self, answers: list[bytes]) -> None:
        self._write(b"".join(answers))
        self._listener.latency.answered(len(answers))

    def _go_on(self) -> None:
        """Answer what is left, in another turn of the loop."""
        lines, self._next = self._next, None
        if lines is None or self._transport.is_closing():
            return
        if self._waiting is not None:
            self._waiting = lines
            return
        self._listener.latency.arrive()
        self._answer(lines)
        self._read_on()

    def _read_on(self) -> None:
        if self._waiting is None and self._next is None:
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self._waiting = iter(())
        self._listener.figures[PAUSED] += 1
        self._listener.figures[LIMITS["write_buffer"]] += 1
        self._listener.deadlines.pop(self, None)
        self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        waiting, self._waiting = self._waiting, None
        self._listener.figures[PAUSED] -= 1
        self._listener.latency.arrive()
        if self._cause is not None:
            # The deadline stays: the peer has yet to close.
            self._transport.resume_reading()
            return
        self._listener.deadlines.pop(self, None)
        if self._partial is not None:
            self._listener.set_deadline(self, self._listener.limits.message_s)
        if waiting is not None:
            self._answer(waiting)
        self._read_on()

    @property
    def has_session(self) -> bool:
        return self._session.version is not None

    @property
    def open(self) -> bool:
        return self._cause is None and self._waiting is None and not self._transport.is_closing()

    def send(self, line: bytes) -> bool:
        """A message that is no answer; dropped when the client does not read."""
        if not self.open:
            return False
        self._write(line)
        return True

    def answer(self, line: bytes, error_code: int) -> None:
        """An answer that took its time."""
        if self._cause is None and not self._transport.is_closing():
            self._write(line)
            if self._half_closed and not self._session.busy:
                self._transport.close()
            elif self._listener.draining:
                self.finish_when_idle()

    @property
    def principal(self) -> Principal | None:
        """There is no place for a token."""
        return None

    @property
    def standing(self) -> Connection:
        return self

    @property
    def client(self) -> Owner:
        return Owner("address", address_of(self._transport))

    def tell(self, event: Event) -> bool:
        return self._session.hears(event) and self.send(self._session.line_of(event))

    def leave(self) -> None:
        if self._cause is None and not self._transport.is_closing():
            self._finish("moved")

    def close_stream(self) -> None:
        """A connection is a stream that cannot be resumed."""

    def eof_received(self) -> bool:
        if self._session.busy and self._cause is None and self._transport.can_write_eof():
            self._half_closed = True
            self._session.end_input()
            return True
        if self._transport.get_write_buffer_size():
            # The transport closes once the rest is sent, which takes a peer that reads.
            self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        listener = self._listener
        listener.figures[CLOSED[self._cause or ("reset" if error else "peer")]] += 1
        listener.figures[PAUSED] -= self._waiting is not None
        listener.forget(self)
        self._session.close()

    def finish_when_idle(self) -> None:
        """End a draining connection unless it has a message half read or unanswered."""
        if self._cause is None:
            self._session.finish_streams()
        unanswered = self._partial is not None or self._waiting is not None or self._next is not None
        if not unanswered and self._cause is None and not self._session.busy:
            self._finish("drain")

    def time_out(self) -> None:
        self.abort(
            "slow_reader" if self._waiting is not None or (self._heard and self._partial is None) else "slow_request"
        )

    def abort(self, cause: str) -> None:
        """End at once, under `cause` unless there was one already."""
        self._cause = self._cause or cause
        self._transport.abort()

    def _finish(self, cause: str) -> None:
        # To close with unread input would send a reset, which can destroy answers that are still under way.
        self._cause = cause
        self._partial = None
        if self._transport.is_closing():
            # The peer has gone meanwhile.
            return
        unsent = self._transport.get_write_buffer_size()
        self._listener.set_deadline(self, self._listener.limits.slow_reader_s if unsent else CLOSE_WAIT_S)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            # TLS has no half-closed connections: its close waits for the peer to close as well.
            self._transport.close()

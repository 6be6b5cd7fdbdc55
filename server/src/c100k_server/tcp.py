"""MCP over TCP, one JSON message per line: the connections of one worker.

Lifecycle: connect and send `initialize`; cancel with `notifications/cancelled`; end by closing. When the server ends a
connection it sends what it still owes, closes its sending side, and waits for the peer to close.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import cast

from c100k_server.config import Address, ConnectionLimits
from c100k_server.framing import split_lines
from c100k_server.protocol import Service, Session, UnreadableMessagesError
from c100k_server.sockets import BACKLOG, shared_listener
from c100k_server.statistics import CLOSED, OPENED

# How many idle connections a drain closes before it lets the others be served.
DRAIN_BATCH = 256

# How long a peer that has been sent everything may take to close its side.
CLOSE_WAIT_S = 1.0


class TcpListener:
    """Accepts connections and holds what they share. `check_deadlines` must be called a few times per second."""

    def __init__(self, service: Service, figures: memoryview, limits: ConnectionLimits, connections_max: int) -> None:
        self.service = service
        self.figures = figures
        self.limits = limits
        self.connections_max = connections_max
        self.connections: set[Connection] = set()
        # When to abort whom: peers that do not read, or do not close.
        self.deadlines: dict[Connection, float] = {}
        self.draining = False
        self._emptied = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None

    async def start(self, address: Address) -> None:
        """Listen. Raises `OSError`."""
        listener = shared_listener(address)
        self._server = await self._loop.create_server(lambda: Connection(self), sock=listener, backlog=BACKLOG)

    def check_deadlines(self) -> None:
        """Abort the connections whose peer did not read, or did not close, in time."""
        now = self._loop.time()
        late = [connection for connection, deadline in self.deadlines.items() if deadline <= now]
        for connection in late:
            connection.abort("slow_reader")

    def set_deadline(self, connection: Connection, wait_s: float) -> None:
        """Abort `connection` in `wait_s`, or when it was to be aborted anyhow."""
        self.deadlines.setdefault(connection, self._loop.time() + wait_s)

    async def drain(self, drain_s: float) -> None:
        """Stop accepting, let every connection finish what is in flight, and close all within `drain_s`."""
        end = self._loop.time() + drain_s
        if self._server is not None:
            self._server.close()
        self.draining = True
        # One turn of the loop reads what had arrived by now.
        await asyncio.sleep(0)
        for position, connection in enumerate(list(self.connections)):
            if position % DRAIN_BATCH == 0:
                await asyncio.sleep(0)
            connection.finish_when_idle()
        if not self.connections:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await self._emptied.wait()
        for connection in list(self.connections):
            connection.abort("drain")
        await self._emptied.wait()

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        self.deadlines.pop(connection, None)
        if self.draining and not self.connections:
            self._emptied.set()


class Connection(asyncio.Protocol):
    """One client.

    While the peer does not read its answers nothing more is read from it, and `_waiting` holds the lines that were
    read already. `_cause` is set once the connection is to end.
    """

    __slots__ = ("_cause", "_listener", "_partial", "_session", "_transport", "_waiting")

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._session = Session(listener.service)
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._partial: bytearray | None = None
        self._waiting: Iterator[bytes] | None = None
        self._cause: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        listener = self._listener
        listener.figures[OPENED] += 1
        listener.connections.add(self)
        bound = listener.limits.write_buffer_bytes
        self._transport.set_write_buffer_limits(high=bound, low=bound // 4)
        if len(listener.connections) > listener.connections_max:
            self.abort("full")
        elif listener.draining:
            self._finish("drain")

    def data_received(self, data: bytes) -> None:
        if self._cause is not None:
            return
        max_line_bytes = self._listener.limits.max_line_bytes
        # The usual wake-up brings exactly one whole message; it is spared the general case, 2 of 27 us when measured.
        if self._partial is None and data.find(b"\n") + 1 == len(data) <= max_line_bytes:
            try:
                answer = self._session.handle(data)
            except UnreadableMessagesError as error:
                self._give_up(error.answer)
                return
            if answer is not None:
                self._transport.write(answer)
            if self._listener.draining:
                self.finish_when_idle()
            return
        lines, self._partial, oversize = split_lines(self._partial, data, max_line_bytes)
        self._answer(iter(lines), last=oversize)
        if oversize and self._cause is None:
            self._transport.write(self._session.refuse_oversize(max_line_bytes))
            self._finish("oversize")

    def _answer(self, lines: Iterator[bytes], *, last: bool = False) -> None:
        """Answer `lines` with one write, or one per filled write buffer, as long as the peer reads.

        When these are the `last` lines of a connection that is about to end, answer all of them.
        """
        listener = self._listener
        bound = listener.limits.write_buffer_bytes
        handle = self._session.handle
        answers: list[bytes] = []
        size = 0
        try:
            for line in lines:
                answer = handle(line)
                if answer is None:
                    continue
                answers.append(answer)
                size += len(answer)
                if size >= bound:
                    self._transport.write(b"".join(answers))
                    answers.clear()
                    size = 0
                    if self._waiting is not None and not last:
                        self._waiting = lines
                        return
        except UnreadableMessagesError as error:
            self._give_up(b"".join(answers) + error.answer)
            return
        if answers:
            self._transport.write(b"".join(answers))
        if listener.draining:
            self.finish_when_idle()

    def _give_up(self, answer: bytes) -> None:
        self._transport.write(answer)
        self._finish("malformed")

    def pause_writing(self) -> None:
        self._waiting = iter(())
        self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        waiting, self._waiting = self._waiting, None
        if self._cause is not None:
            # The deadline stays: the peer has yet to close.
            self._transport.resume_reading()
            return
        self._listener.deadlines.pop(self, None)
        if waiting is not None:
            self._answer(waiting)
        if self._waiting is None:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        if self._transport.get_write_buffer_size():
            # The transport closes once the rest is sent, which takes a peer that reads.
            self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        listener = self._listener
        listener.figures[CLOSED[self._cause or ("reset" if error else "peer")]] += 1
        listener.forget(self)

    def finish_when_idle(self) -> None:
        """End a draining connection unless it has a message half read or unanswered."""
        if self._partial is None and self._waiting is None and self._cause is None:
            self._finish("drain")

    def abort(self, cause: str) -> None:
        """End at once, under `cause` unless there was one already."""
        self._cause = self._cause or cause
        self._transport.abort()

    def _finish(self, cause: str) -> None:
        # To close with unread input would send a reset, which can destroy answers that are still under way.
        self._cause = cause
        self._partial = None
        unsent = self._transport.get_write_buffer_size()
        self._listener.set_deadline(self, self._listener.limits.slow_reader_s if unsent else CLOSE_WAIT_S)
        self._transport.write_eof()

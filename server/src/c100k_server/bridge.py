"""A TLS connection whose session is in another worker: its keys cannot move, so its bytes are carried there."""

from __future__ import annotations

import asyncio
import select
import socket
from typing import cast

from c100k_server.listening import Listening


class Bridge:
    """Carries the bytes of `transport` to and from `ours`, whose other end another worker serves as a connection.

    For the figures the connection has moved; here it only takes two files and its place in the limit of its address.
    """

    __slots__ = ("_far", "_listening", "_near", "_task")

    def __init__(self, listening: Listening, transport: asyncio.Transport, ours: socket.socket) -> None:
        self._listening = listening
        self._near = _End(self)
        self._far = _End(self)
        self._near.other, self._far.other = self._far, self._near
        listening.uncounted += 2
        transport.set_protocol(self._near)
        self._near.connection_made(transport)
        self._task = asyncio.get_running_loop().create_task(self._join(ours))

    @property
    def listening(self) -> Listening:
        return self._listening

    def ended(self, end: _End) -> None:
        """One end is gone, and the other follows once it has sent what it has."""
        other = end.other
        end.transport = None
        if other.transport is None and self._task.done():
            self._listening.uncounted -= 2
            self._listening.forget(self)
        elif other.transport is not None:
            self._listening.set_deadline(self, self._listening.limits.slow_reader_s)
            other.transport.close()

    def abort(self, cause: str) -> None:
        for end in (self._near, self._far):
            if end.transport is not None:
                end.transport.abort()

    def stalled(self) -> None:
        """The client does not read. Whether it is cut off is for the worker that serves it to say, which has a write
        buffer for it too; but that it has cannot be read here while nothing is."""
        self._listening.set_deadline(self, self._listening.limits.slow_reader_s)

    def flows(self) -> None:
        """The client reads again."""
        if self._near.transport is not None and self._far.transport is not None:
            self._listening.deadlines.pop(self, None)

    def time_out(self) -> None:
        far = self._far.transport
        if self._near.transport is None or far is None or _is_hung_up(far):
            self.abort("slow_reader")
        else:
            self.stalled()

    def finish_when_idle(self) -> None:
        """The worker that serves the connection knows when that is, and closes it."""

    async def _join(self, ours: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: self._far, ours)
        if self._near.transport is None:
            self.abort("peer")
        else:
            self._near.transport.resume_reading()


class _End(asyncio.Protocol):
    """One side of a bridge. It reads only what the other can write."""

    __slots__ = ("_bridge", "other", "transport")

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.other = self
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        bound = self._bridge.listening.limits.write_buffer_bytes
        self.transport.set_write_buffer_limits(high=bound, low=bound // 4)

    def data_received(self, data: bytes) -> None:
        receiver = self.other.transport
        if receiver is not None and not receiver.is_closing():
            receiver.write(data)

    def pause_writing(self) -> None:
        self._bridge.stalled()
        sender = self.other.transport
        if sender is not None and not sender.is_closing():
            sender.pause_reading()

    def resume_writing(self) -> None:
        self._bridge.flows()
        sender = self.other.transport
        if sender is not None and not sender.is_closing():
            sender.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._bridge.ended(self)


def _is_hung_up(transport: asyncio.Transport) -> bool:
    """Whether the other end is closed, even if there is still something to read."""
    poll = select.poll()
    poll.register(transport.get_extra_info("socket").fileno(), 0)
    return bool(poll.poll(0))

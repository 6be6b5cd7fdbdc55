"""One connection to a server, as all transports have it: how it begins, and why it ended."""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Protocol, cast

from c100k_loadgen.causes import cause_of_error
from c100k_loadgen.phases import Phase

#: What a server may leave unread before the connection is given up (cause `slow_server`), and how long a message it may
#: send, beyond what the payloads themselves take.
WRITE_BOUND_BYTES = 1 << 20
MESSAGE_BOUND_BYTES = 1 << 20

#: Close at once with a reset.
_NO_LINGER = struct.pack("ii", 1, 0)


class State(enum.Enum):
    OPENING = enum.auto()
    LIVE = enum.auto()
    ENDED = enum.auto()


class Owner(Protocol):
    """What a connection needs of whoever it belongs to.

    `message_received` gets each message of a connection that carries calls, `refused` the id of a call that HTTP
    answered with an error, and `heard` is called when a listener was told that a resource has changed.
    `said` gets the words of a server that refuses something.
    """

    write_bound_bytes: int
    message_bound_bytes: int
    message_received: Callable[[Connection, bytes, float], None]
    said: Callable[[str], None]

    @property
    def phase(self) -> Phase: ...

    def opened(self, connection: Connection) -> None: ...

    def opening_failed(self, connection: Connection, cause: str) -> None: ...

    def ended(self, connection: Connection, cause: str) -> None: ...

    def refused(self, connection: Connection, request_id: int, cause: str) -> None: ...

    def heard(self, connection: Connection, now: float) -> None: ...


def _nowhere(data: bytes) -> None:
    pass


class Connection(asyncio.Protocol, ABC):
    """The client end of one connection. `number` tells it apart on its host, and decides its target. `phase` is that
    in which the attempt to open it began.

    `write` sends bytes, and does nothing before the connection is made and after it has ended. `calls` says whether
    it carries calls; the others listen. What each kind does first is its `begin`, and what ends that is `_live`.
    """

    __slots__ = ("_owner", "_transport", "attempts", "number", "phase", "place", "state", "target", "write")

    calls: ClassVar[bool] = True

    _transport: asyncio.Transport | None
    write: Callable[[bytes], None]

    def __init__(self, owner: Owner, number: int, target: str, attempts: int) -> None:
        self._owner = owner
        self.number = number
        self.target = target
        self.attempts = attempts
        self.phase = owner.phase
        self.place = -1
        self.state = State.OPENING
        self.write = _nowhere
        self._transport = None

    @abstractmethod
    def begin(self) -> None:
        """The connection is made: open whatever it is for."""

    def frame(self, request_id: int, body: bytes, routing: bytes = b"") -> bytes:
        """A call as it goes over the wire, `routing` among the headers where there are any."""
        return body

    def send(self, body: bytes) -> None:
        """Send a message that gets no answer."""
        self.write(body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have all methods of asyncio.Transport without being one.
        made = cast(asyncio.Transport, transport)
        if self.state is State.ENDED:
            made.abort()
            return
        self._transport, self.write = made, made.write
        made.set_write_buffer_limits(high=self._owner.write_bound_bytes)
        self.begin()

    def pause_writing(self) -> None:
        self.fail("slow_server")

    def connection_lost(self, error: Exception | None) -> None:
        if self.state is State.OPENING and error is None:
            self._end("closed_in_handshake")
        else:
            self._end("eof" if error is None else cause_of_error(error) if isinstance(error, OSError) else "os_error")

    def fail(self, cause: str) -> None:
        """Give the connection up, at once."""
        transport = self._transport
        self._end("bad_handshake" if cause == "garbage" and self.state is State.OPENING else cause)
        if transport is not None:
            transport.abort()

    def close(self, cause: str = "stop") -> None:
        """End in good order: what was written goes out, then FIN."""
        transport = self._transport
        self._end(cause)
        if transport is not None:
            transport.close()

    def reset(self, cause: str) -> None:
        """Give the connection up with a reset: what cannot be delivered is not kept by the kernel, and sent again for
        minutes."""
        if self._transport is not None:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.fail(cause)

    def abandon(self) -> None:
        """Give the connection up without telling its owner."""
        transport, self.state = self._transport, State.ENDED
        if transport is not None:
            transport.abort()

    def _disconnect(self) -> None:
        """Nothing can be written any more."""
        self.write = _nowhere
        self._transport = None

    def _live(self) -> None:
        """What it is for is open."""
        self.state = State.LIVE
        self._owner.opened(self)

    def _end(self, cause: str) -> None:
        """The one way to the end, taken once: what comes later from the transport is its echo."""
        state, self.state = self.state, State.ENDED
        self._disconnect()
        if state is State.OPENING:
            self._owner.opening_failed(self, cause)
        elif state is State.LIVE:
            self._owner.ended(self, cause)

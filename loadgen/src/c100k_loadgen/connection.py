"""One connection to a server: its handshake, its lines, and why it ended."""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from c100k_loadgen.causes import cause_of
from c100k_loadgen.phases import Phase
from c100k_loadgen.session import INITIALIZE_ID, INITIALIZED, InitializeAnswer, decode_initialize

#: What a server may leave unread before the connection is given up (cause `slow_server`), and how long a line it may
#: send, beyond what the payloads themselves take.
WRITE_BOUND_BYTES = 1 << 20
LINE_BOUND_BYTES = 1 << 20


class State(enum.Enum):
    OPENING = enum.auto()
    LIVE = enum.auto()
    ENDED = enum.auto()


class Owner(Protocol):
    """What a connection needs of the worker that it belongs to."""

    initialize: bytes
    write_bound_bytes: int
    line_bound_bytes: int
    line_received: Callable[[Connection, bytes, float], None]

    @property
    def protocol(self) -> str: ...

    @property
    def phase(self) -> Phase: ...

    def session_opened(self, connection: Connection) -> None: ...

    def opening_failed(self, connection: Connection, cause: str) -> None: ...

    def connection_ended(self, connection: Connection, cause: str) -> None: ...


def _nowhere(line: bytes) -> None:
    pass


class Connection(asyncio.Protocol):
    """The client end of one MCP session over TCP. `number` tells it apart on its host, and decides its target.
    `phase` is that in which the attempt to open it began.

    `write` sends a line, and does nothing before the connection is made and after it has ended.
    """

    __slots__ = ("_owner", "_rest", "_transport", "attempts", "number", "phase", "place", "state", "target", "write")

    _transport: asyncio.Transport | None
    write: Callable[[bytes], None]

    def __init__(self, owner: Owner, number: int, target: str, attempts: int) -> None:
        self._owner = owner
        self._rest = b""
        self.number = number
        self.target = target
        self.attempts = attempts
        self.phase = owner.phase
        self.place = -1
        self.state = State.OPENING
        self.write = _nowhere
        self._transport = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have all methods of asyncio.Transport without being one.
        made = cast(asyncio.Transport, transport)
        if self.state is State.ENDED:
            made.abort()
            return
        self._transport, self.write = made, made.write
        made.set_write_buffer_limits(high=self._owner.write_bound_bytes)
        made.write(self._owner.initialize)

    def data_received(self, data: bytes) -> None:
        if self.state is State.LIVE and not self._rest and data.find(b"\n") == len(data) - 1:
            # One whole line, as nearly all data is once the session is open.
            self._owner.line_received(self, data, time.monotonic())
            return
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._owner.line_bound_bytes:
            self.fail("garbage")
            return
        now = time.monotonic()
        for line in lines:
            if self.state is State.LIVE:
                self._owner.line_received(self, line, now)
            elif self.state is State.OPENING:
                self._handshake(line)

    def _handshake(self, line: bytes) -> None:
        try:
            answer = decode_initialize(line)
        except msgspec.MsgspecError:
            self.fail("garbage")
            return
        if answer.method is not None and answer.id is None:
            return  # a server may notify (its log, say) before it answers
        if not self._accepted(answer):
            self.fail("garbage")
            return
        self.write(INITIALIZED)
        self.state = State.LIVE
        self._owner.session_opened(self)

    def _accepted(self, answer: InitializeAnswer) -> bool:
        return (
            answer.id == INITIALIZE_ID
            and answer.result is not None
            and answer.result.protocolVersion == self._owner.protocol
        )

    def pause_writing(self) -> None:
        self.fail("slow_server")

    def connection_lost(self, error: Exception | None) -> None:
        if self.state is State.OPENING and error is None:
            self._end("closed_in_handshake")
        else:
            self._end("eof" if error is None else cause_of(getattr(error, "errno", None)))

    def fail(self, cause: str) -> None:
        """Give the connection up, at once."""
        transport = self._transport
        self._end("bad_handshake" if cause == "garbage" and self.state is State.OPENING else cause)
        if transport is not None:
            transport.abort()

    def close(self) -> None:
        """End the session in good order: what was written goes out, then FIN."""
        transport = self._transport
        self._end("stop")
        if transport is not None:
            transport.close()

    def abandon(self) -> None:
        """Give the connection up without telling its owner."""
        transport, self.state = self._transport, State.ENDED
        if transport is not None:
            transport.abort()

    def _end(self, cause: str) -> None:
        """The one way to the end, taken once: what comes later from the transport is its echo."""
        state, self.state = self.state, State.ENDED
        self.write = _nowhere
        self._transport = None
        if state is State.OPENING:
            self._owner.opening_failed(self, cause)
        elif state is State.LIVE:
            self._owner.connection_ended(self, cause)

"""MCP over stdio: a server process for each connection, and a JSON-RPC message a line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

from c100k_loadgen.children import Child, Children
from c100k_loadgen.connection import Owner, State
from c100k_loadgen.tcp import TcpSession

#: How long the end of a process may come after that of its output.
_LOOK_S = 0.01
_LOOKS = 100


class _Input(asyncio.BaseProtocol):
    """The way to a process."""

    def __init__(self, session: StdioSession) -> None:
        self._session = session

    def pause_writing(self) -> None:
        self._session.pause_writing()


class StdioSession(TcpSession):
    """A conversation with a process of its own."""

    __slots__ = ("_child", "_children", "_command", "_input")

    _child: Child | None
    _input: asyncio.WriteTransport | None

    def __init__(
        self,
        owner: Owner,
        number: int,
        target: str,
        attempts: int,
        protocol: str,
        command: Sequence[str],
        children: Children,
    ) -> None:
        super().__init__(owner, number, target, attempts, protocol)
        self._command = command
        self._children = children
        self._child = None
        self._input = None

    def start(self) -> socket.socket:
        """Start the process; returns the connection that it answers on.

        Raises:
            OSError: it cannot be started.
        """
        self._child = self._children.start(self._command)
        return self._child.output

    async def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have its input written to."""
        if self._child is None:
            return  # given up meanwhile
        made, _ = await loop.connect_write_pipe(lambda: _Input(self), self._child.input)
        made.set_write_buffer_limits(high=self._owner.write_bound_bytes)
        self._input = made
        if self.state is State.ENDED:
            made.close()

    def begin(self) -> None:
        assert self._input is not None
        self.write = self._input.write
        super().begin()

    def connection_lost(self, error: Exception | None) -> None:
        if self.state is State.ENDED:
            super().connection_lost(error)
        else:
            self._disconnect()
            self._look(asyncio.get_running_loop(), _LOOKS, error)

    def _look(self, loop: asyncio.AbstractEventLoop, looks: int, error: Exception | None) -> None:
        """Find out how the process ended, which is known a moment after its output has."""
        if self.state is State.ENDED:
            return
        assert self._child is not None
        cause = self._child.cause
        if cause is None and looks:
            loop.call_later(_LOOK_S, self._look, loop, looks - 1, error)
        elif cause is None:
            super().connection_lost(error)
        else:
            self._owner.said(f"{cause} {self._child.last_words}")
            self._end(cause)

    def _end(self, cause: str) -> None:
        super()._end(cause)
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._child is not None:
            self._children.release(self._child)
            self._child = None

"""An MCP session over TCP: newline-delimited JSON-RPC, the framing of the specification's stdio transport."""

from __future__ import annotations

import time

import msgspec

from c100k_loadgen.connection import Connection, Owner, State
from c100k_loadgen.messages import INITIALIZED, accepts, decode_initialize, initialize_request


class TcpSession(Connection):
    """The client end of one session of `protocol`."""

    __slots__ = ("_protocol", "_rest")

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, protocol: str) -> None:
        super().__init__(owner, number, target, attempts)
        self._protocol = protocol
        self._rest = b""

    def begin(self) -> None:
        self.write(initialize_request(self._protocol))

    def data_received(self, data: bytes) -> None:
        if self.state is State.LIVE and not self._rest and data.find(b"\n") == len(data) - 1:
            # One whole line, as nearly all data is once the session is open.
            self._owner.message_received(self, data, time.monotonic())
            return
        lines = (self._rest + data if self._rest else data).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > self._owner.message_bound_bytes:
            self.fail("garbage")
            return
        now = time.monotonic()
        for line in lines:
            if self.state is State.LIVE:
                self._owner.message_received(self, line, now)
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
        if not accepts(answer, self._protocol):
            self.fail("garbage")
            return
        self.write(INITIALIZED)
        self._live()

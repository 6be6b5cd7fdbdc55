"""MCP over TCP: newline-delimited JSON-RPC, the framing of the specification's stdio transport."""

from __future__ import annotations

import time

from c100k_loadgen.connection import Owner, State
from c100k_loadgen.conversation import Conversation

#: Looked up once: before Python 3.12 a member of an enumeration is found by a call.
_LIVE = State.LIVE


class TcpSession(Conversation):
    """The client end of a connection, which over TCP is a session, if there are any."""

    __slots__ = ("_rest",)

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, protocol: str) -> None:
        super().__init__(owner, number, target, attempts, protocol)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        if self.state is _LIVE and not self._rest and data.find(b"\n") == len(data) - 1:
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
            self._message(line, now)

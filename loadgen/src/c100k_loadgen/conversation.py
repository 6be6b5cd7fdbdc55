"""A connection whose transport has messages only, no requests of its own: what TCP, stdio and WebSocket share."""

from __future__ import annotations

import msgspec

from c100k_loadgen.connection import Connection, Owner, State
from c100k_loadgen.opening import opening_of
from c100k_loadgen.words import of_message


class Conversation(Connection):
    """One session of `protocol`, or calls of the era that has none."""

    __slots__ = ("_protocol",)

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, protocol: str) -> None:
        super().__init__(owner, number, target, attempts)
        self._protocol = protocol

    def begin(self) -> None:
        self.send(opening_of(self._protocol).request)

    def _message(self, message: bytes, now: float) -> None:
        if self.state is State.LIVE:
            self._owner.message_received(self, message, now)
        elif self.state is State.OPENING:
            self._handshake(message)

    def _handshake(self, message: bytes) -> None:
        opening = opening_of(self._protocol)
        try:
            accepted = opening.accepted(message)
        except msgspec.MsgspecError:
            accepted = False
        if accepted is None:
            return
        if not accepted:
            if (words := of_message(message)) is not None:
                self._owner.said(words)
            self.fail("garbage")
            return
        if opening.confirmation:
            self.send(opening.confirmation)
        self._live()

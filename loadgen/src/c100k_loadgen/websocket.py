"""MCP over WebSocket, subprotocol `mcp`: a JSON-RPC message in each text frame, and a connection is a session."""

from __future__ import annotations

import logging
import re
import time

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from c100k_loadgen.connection import Owner, State
from c100k_loadgen.conversation import Conversation
from c100k_loadgen.http_framing import HEAD_BOUND_BYTES
from c100k_loadgen.http_requests import Site
from c100k_loadgen.websocket_framing import Frame, FrameError, Opcode, frames, masked, whole_text
from c100k_loadgen.words import of_response

_SUBPROTOCOL = Subprotocol("mcp")
_HEAD_END = b"\r\n\r\n"
_REFUSED = re.compile(rb"HTTP/1\.[01] (?!101)([0-9]{3})")
_NORMAL_CLOSURE = (1000).to_bytes(2, "big")
#: What a close frame means that gives no code; RFC 6455, section 7.4.1.
_NO_CODE = 1005
# What servers do wrong is counted, and need not be said.
_log = logging.Logger("c100k_loadgen.websocket", logging.CRITICAL)


class HandshakeRefusedError(Exception):
    """The server answered with another status than 101."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body
        super().__init__(f"HTTP {status}")


class Handshake:
    """The request for a WebSocket, and the answer to it."""

    __slots__ = ("_protocol", "_rest", "request")

    def __init__(self, site: Site) -> None:
        uri = parse_uri(f"ws://{site.host}{site.path}")
        self._protocol = ClientProtocol(uri, subprotocols=[_SUBPROTOCOL], logger=_log)
        self._rest = b""
        request = self._protocol.connect()
        # As the target is called, with the port where that does not go without saying.
        del request.headers["Host"]
        for header in (f"Host: {site.host}", *site.headers):
            name, _, value = header.partition(": ")
            request.headers[name] = value
        self._protocol.send_request(request)
        self.request = b"".join(self._protocol.data_to_send())

    def received(self, data: bytes) -> bytes | None:
        """What comes behind the answer; None when it is not whole yet.

        Raises:
            HandshakeRefusedError: the server does not want to.
            InvalidHandshake: it does not know how to.
        """
        self._rest += data
        head, end, behind = self._rest.partition(_HEAD_END)
        if not end:
            if len(head) > HEAD_BOUND_BYTES:
                raise InvalidMessage("the answer to the handshake does not end")
            return None
        if refused := _REFUSED.match(head):
            raise HandshakeRefusedError(int(refused[1]), behind)
        self._protocol.receive_data(head + end)
        if self._protocol.handshake_exc is not None:
            raise self._protocol.handshake_exc
        if self._protocol.subprotocol != _SUBPROTOCOL:
            raise InvalidMessage("the server has not chosen the subprotocol")
        return behind


class WebSocketSession(Conversation):
    """The client end of one connection. `_upgrade` is its handshake, while that is under way; `_rest` is part of a
    frame and `_partial` of a message of several frames."""

    __slots__ = ("_partial", "_rest", "_upgrade")

    _upgrade: Handshake | None
    _partial: bytes | None

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, protocol: str, site: Site) -> None:
        super().__init__(owner, number, target, attempts, protocol)
        self._upgrade = Handshake(site)
        self._rest = b""
        self._partial = None

    def begin(self) -> None:
        assert self._upgrade is not None
        self.write(self._upgrade.request)

    def frame(self, request_id: int, body: bytes, routing: bytes = b"") -> bytes:
        return masked(Opcode.TEXT, body.rstrip(b"\n"))

    def send(self, body: bytes) -> None:
        self.write(self.frame(0, body))

    def close(self, cause: str = "stop") -> None:
        if self._upgrade is None:
            self.write(masked(Opcode.CLOSE, _NORMAL_CLOSURE))
        super().close(cause)

    def data_received(self, data: bytes) -> None:
        if self.state is State.LIVE and not self._rest and self._partial is None:
            message = whole_text(data)
            if message is not None:
                self._owner.message_received(self, message, time.monotonic())
                return
        if self._upgrade is not None:
            behind = self._upgraded(self._upgrade, data)
            if not behind:
                return
            data = behind
        try:
            found, self._rest = frames(self._rest + data, self._owner.message_bound_bytes)
        except FrameError:
            self.fail("garbage")
            return
        now = time.monotonic()
        for frame in found:
            if self.state is State.ENDED:
                return
            self._take(frame, now)

    def _upgraded(self, upgrade: Handshake, data: bytes) -> bytes | None:
        """What came behind the handshake, once that is done."""
        try:
            behind = upgrade.received(data)
        except HandshakeRefusedError as error:
            self._owner.said(of_response(error.status, error.body))
            self.fail("bad_status")
            return None
        except InvalidHandshake:
            self.fail("garbage")
            return None
        if behind is not None:
            self._upgrade = None
            super().begin()
        return behind

    def _take(self, frame: Frame, now: float) -> None:
        match frame.opcode:
            case Opcode.TEXT if self._partial is None:
                self._part(frame.payload, now, final=frame.final)
            case Opcode.CONTINUATION if self._partial is not None:
                self._part(self._partial + frame.payload, now, final=frame.final)
            case Opcode.PING:
                self.write(masked(Opcode.PONG, frame.payload))
            case Opcode.PONG:
                pass
            case Opcode.CLOSE:
                code = int.from_bytes(frame.payload[:2], "big") or _NO_CODE
                self.write(masked(Opcode.CLOSE, frame.payload[:2]))
                self.fail(f"close_{code}")
            case _:
                self.fail("garbage")

    def _part(self, message: bytes, now: float, *, final: bool) -> None:
        """A message, or what there is of it."""
        if len(message) > self._owner.message_bound_bytes:
            self.fail("garbage")
        elif final:
            self._partial = None
            self._message(message, now)
        else:
            self._partial = message

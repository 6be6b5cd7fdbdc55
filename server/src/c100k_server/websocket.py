"""MCP over WebSocket, subprotocol `mcp`: one JSON message per text frame, and a connection is a session.

The protocol has no such transport of its own; by a connection this one means what TCP does. The handshake is a request
of HTTP and is checked as others are; frames are read and written by `websockets`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import logging
import math
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import cast

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, SERVER
from websockets.protocol import Protocol as Frames

from c100k_server.authentication import Authenticator, Principal, TokenFile, identity_of
from c100k_server.config import ConnectionLimits, HttpConfig
from c100k_server.http_connection import HttpConnection, HttpRequest
from c100k_server.http_front import HttpFront
from c100k_server.service import Service
from c100k_server.subscriptions import Listener
from c100k_server.task_store import Owner
from c100k_server.tcp import CLOSE_WAIT_S, Connection

SUBPROTOCOL = "mcp"
# RFC 6455, section 1.3.
KEY_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY_BYTES = 16
# How often `check_deadlines` is called.
CHECKS_PER_S = 4

_ACCEPTED_HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: mcp\r\n\r\n"
)
_CLOSE_CODES = {
    "drain": CloseCode.GOING_AWAY,
    "moved": CloseCode.GOING_AWAY,
    "malformed": CloseCode.POLICY_VIOLATION,
}
# What peers do wrong is counted here, and need not be said.
_log = logging.Logger("c100k_server.websocket", logging.CRITICAL)


class WebSocketListener(HttpFront):
    """Accepts handshakes. Every `ping_s` each connection is visited: one that was silent for a whole round is sent a
    ping, and is cut off after another."""

    def __init__(
        self,
        service: Service,
        limits: ConnectionLimits,
        http: HttpConfig,
        connections_max: int,
        authenticator: Authenticator | TokenFile | None,
        *,
        is_local: bool,
    ) -> None:
        super().__init__("ws", service, limits, http, connections_max, authenticator, is_local=is_local)
        self._to_visit: Iterator[WebSocketConnection] = iter(())
        self._visits_per_check = 0
        self._next_round_at = 0.0
        service.subscriptions.audiences.append(self._audience)

    def refuse(self, connection: HttpConnection, status: int, reason: str, headers: bytes = b"") -> None:
        """A connection has one handshake."""
        connection.keep_alive = False
        super().refuse(connection, status, reason, headers)

    def route(self, connection: HttpConnection, request: HttpRequest) -> None:
        headers = request.headers
        if request.method != "GET" or "websocket" not in _listed(headers.get("upgrade")):
            self.refuse(connection, 426, "this is for WebSocket", b"Upgrade: websocket\r\n")
        elif headers.get("sec-websocket-version") != "13":
            self.refuse(connection, 426, "use WebSocket version 13", b"Sec-WebSocket-Version: 13\r\n")
        elif "upgrade" not in _listed(headers.get("connection")) or request.body or not connection.can_give_way:
            self.refuse(connection, 400, "this is no handshake of RFC 6455")
        elif not _is_key(headers.get("sec-websocket-key", "")):
            self.refuse(connection, 400, f"Sec-WebSocket-Key must be {KEY_BYTES} bytes in Base64")
        elif SUBPROTOCOL not in _listed(headers.get("sec-websocket-protocol")):
            self.refuse(connection, 400, f"Sec-WebSocket-Protocol must offer {SUBPROTOCOL}")
        elif self.draining:
            self.refuse(connection, 503, "this server is about to end")
        else:
            digest = hashlib.sha1(headers["sec-websocket-key"].encode("latin-1") + KEY_SUFFIX, usedforsecurity=False)
            accepted = _ACCEPTED_HEAD % base64.b64encode(digest.digest())
            connection.give_way(WebSocketConnection(self, request.principal), accepted)

    def check_deadlines(self) -> None:
        """Visit some of the connections as well, so that the round is done in `ping_s`."""
        super().check_deadlines()
        now = self._loop.time()
        if now >= self._next_round_at:
            self._next_round_at = now + self.http.ping_s
            connections = [each for each in self.connections if isinstance(each, WebSocketConnection)]
            self._visits_per_check = math.ceil(len(connections) / (self.http.ping_s * CHECKS_PER_S))
            self._to_visit = chain(self._to_visit, connections)
        for connection in islice(self._to_visit, self._visits_per_check):
            connection.visit()

    def _audience(self) -> Iterable[Listener]:
        return [each for each in self.connections if isinstance(each, WebSocketConnection) and each.has_session]


class WebSocketConnection(Connection):
    """One client: a connection as over TCP, whose messages come and go in frames.

    A message of several frames is in `_partial` until it is whole. Once a close frame was sent, which `_frames` does by
    itself for what it cannot read, nothing else is.
    """

    __slots__ = ("_frames", "_principal", "_silent_rounds")

    def __init__(self, listener: WebSocketListener, principal: Principal | None) -> None:
        super().__init__(listener)
        self._frames = Frames(SERVER, state=OPEN, max_size=listener.limits.max_line_bytes, logger=_log)
        self._principal = principal
        self._silent_rounds = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done, for which the listener has counted and limited the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._heard = True

    def data_received(self, data: bytes) -> None:
        self._silent_rounds = 0
        listener = self._listener
        listener.bytes_received += len(data)
        listener.latency.arrive()
        frames = self._frames
        frames.receive_data(data)
        if self._cause is None:
            events = frames.events_received()
            messages, has_binary = self._messages(events)
            if messages or (events and self._partial is None):
                listener.deadlines.pop(self, None)
            if self._partial is not None or not events:
                # Of a message of several frames, or of a frame, there is only a part.
                listener.set_deadline(self, listener.limits.message_s)
            if frames.close_rcvd is not None:
                self._cause = "peer"
            elif frames.close_sent is not None:
                self._cause = "oversize" if frames.close_sent.code == CloseCode.MESSAGE_TOO_BIG else "malformed"
            self._answer(iter(messages), last=has_binary or self._cause is not None)
            if has_binary and self._cause is None:
                self._close("malformed", CloseCode.UNSUPPORTED_DATA)
        else:
            frames.events_received()
        self._flush()

    def eof_received(self) -> bool:
        if self._transport.get_write_buffer_size():
            self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
        return False

    @property
    def principal(self) -> Principal | None:
        return self._principal

    @property
    def client(self) -> Owner:
        return super().client if self._principal is None else Owner("bearer", identity_of(self._principal).hex())

    def visit(self) -> None:
        """See whether the client is still there."""
        if self._cause is not None or self._waiting is not None or self._transport.is_closing():
            return
        self._silent_rounds += 1
        if self._silent_rounds == 2:
            self._frames.send_ping(b"")
            self._flush()
        elif self._silent_rounds > 2:
            self.abort("reset")

    def time_out(self) -> None:
        reads = self._waiting is None and not self._transport.get_write_buffer_size()
        self.abort("slow_request" if reads else "slow_reader")

    def _messages(self, events: Iterable[object]) -> tuple[list[bytes], bool]:
        """The messages that are whole now, up to a binary one if there is one."""
        messages: list[bytes] = []
        for frame in events:
            assert isinstance(frame, Frame)
            if frame.opcode is Opcode.BINARY:
                return messages, True
            if frame.opcode is Opcode.TEXT and frame.fin:
                messages.append(bytes(frame.data))
            elif frame.opcode is Opcode.TEXT:
                self._partial = bytearray(frame.data)
            elif frame.opcode is Opcode.CONT and self._partial is not None:
                self._partial += frame.data
                if frame.fin:
                    messages.append(bytes(self._partial))
                    self._partial = None
        return messages, False

    def _write(self, line: bytes) -> None:
        self._write_frame(line)
        self._flush()

    def _write_answers(self, answers: list[bytes]) -> None:
        for answer in answers:
            self._write_frame(answer)
        self._flush()
        self._listener.latency.answered(len(answers))

    def _write_frame(self, line: bytes) -> None:
        if self._frames.state is OPEN:
            self._frames.send_text(line[:-1])

    def _flush(self) -> None:
        """Send what `_frames` has to say; its last word, empty, is that no more will come."""
        parts = self._frames.data_to_send()
        if not parts:
            return
        data = b"".join(parts)
        if data:
            self._transport.write(data)
            self._listener.bytes_sent += len(data)
        if not parts[-1]:
            self._end()

    def _finish(self, cause: str) -> None:
        self._close(cause, _CLOSE_CODES[cause])

    def _close(self, cause: str, code: CloseCode) -> None:
        """Say that this ends, and wait for the peer to say the same."""
        self._cause = self._cause or cause
        self._partial = None
        if self._frames.state is OPEN:
            self._frames.send_close(code)
        self._flush()
        self._wait_for_end()

    def _end(self) -> None:
        """All is said. To close with unread input would send a reset, which can destroy what is still under way."""
        if self._transport.is_closing():
            return
        self._wait_for_end()
        if self._frames.close_rcvd is None and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _wait_for_end(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        self._listener.set_deadline(self, self._listener.limits.slow_reader_s if unsent else CLOSE_WAIT_S)


def _listed(value: str | None) -> list[str]:
    """The members of a list in a header, in lower case."""
    return [each.strip().lower() for each in (value or "").split(",")]


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text.encode("latin-1"), validate=True)) == KEY_BYTES
    except binascii.Error:
        return False

"""HTTP/1.1 for clients: requests are cut out of the bytes of a connection, and answers written to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from c100k_server.authentication import Principal
from c100k_server.bridge import Bridge
from c100k_server.listening import address_of
from c100k_server.statistics import CLOSED, HTTP_REFUSED, LIMITS, OPENED, PAUSED

if TYPE_CHECKING:
    from c100k_server.http_front import HttpFront
    from c100k_server.tcp import Connection

TARGET_MAX_BYTES = 4096
# Requests that a client may send ahead of the answers; then nothing more is read from it.
AHEAD_MAX = 8
# When to ask again what cannot be served now.
RETRY_AFTER_S = 1
# What of a connection's bytes is read at once; the rest is put off.
TURN_BYTES = 2048
# Write buffers of events that a client may leave unread before it is cut off.
UNREAD_MAX = 4

_REASONS = {
    200: "OK", 202: "Accepted", 204: "No Content", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict",
    413: "Content Too Large", 414: "URI Too Long", 415: "Unsupported Media Type", 421: "Misdirected Request",
    426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}  # fmt: skip
_EVENTS_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n"
    b"X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n%b\r\n"
)
_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"
_EMPTY_HEAD = b"HTTP/1.1 %d %b\r\nContent-Length: 0\r\n%b\r\n"
_OTHER_HEAD = b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n"


class HttpRequest:
    """One request, whole, and the principal that it has shown to be from. Header names are in lower case; `repeated`
    are those that came more than once."""

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "principal", "repeated")

    def __init__(self) -> None:
        self.method = ""
        self.path = b""
        self.headers: dict[str, str] = {}
        self.repeated: set[str] = set()
        self.body = b""
        self.keep_alive = True
        self.principal: Principal | None = None


class Detachable(Protocol):
    """What a connection carries the messages of."""

    def detach(self) -> None: ...


class Cancellable(Protocol):
    """What goes on for a client."""

    def cancel(self) -> object: ...


class HttpConnection(asyncio.Protocol):
    """One client connection. It has at most one exchange, the answering of a request, at a time.

    `carried` and `work` are what goes on in that exchange: the stream that it carries, and what to cancel when the
    client goes, if that is what its going means.
    """

    __slots__ = (
        "_ahead",
        "_body",
        "_body_bytes",
        "_cause",
        "_head_only",
        "_header_bytes",
        "_headers_complete",
        "_listener",
        "_offering",
        "_parser",
        "_peer",
        "_request",
        "_successor",
        "_transport",
        "_unfed",
        "busy",
        "carried",
        "extra_headers",
        "keep_alive",
        "paused",
        "streaming",
        "work",
    )

    def __init__(self, listener: HttpFront) -> None:
        self._listener = listener
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._parser: httptools.HttpRequestParser | None = None
        self._request: HttpRequest | None = None
        self._offering: HttpRequest | None = None
        self._body: list[bytes] | None = None
        self._body_bytes = 0
        self._header_bytes = 0
        self._headers_complete = False
        self._head_only = False
        self._ahead: deque[HttpRequest] | None = None
        self._unfed: memoryview | None = None
        self._cause: str | None = None
        self._peer = ""
        self._successor: Connection | None = None
        self.busy = False
        self.streaming = False
        self.keep_alive = True
        self.paused = False
        self.extra_headers = b""
        self.carried: Detachable | None = None
        self.work: Cancellable | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        listener = self._listener
        listener.figures[OPENED] += 1
        bound = listener.limits.write_buffer_bytes
        self._transport.set_write_buffer_limits(high=bound, low=bound // 4)
        refusal = listener.admit(self, transport.get_extra_info("peername") if listener.limits.per_peer_max else None)
        if refusal is not None:
            self.abort(refusal)
        else:
            listener.set_deadline(self, listener.http.handshake_s)

    def data_received(self, data: bytes) -> None:
        if len(data) <= TURN_BYTES:
            self._feed(data)
        else:
            self._feed_in_turns(memoryview(data))

    def _feed_in_turns(self, data: memoryview) -> None:
        self._unfed = data[TURN_BYTES:]
        self._transport.pause_reading()
        self._listener.service.turns.later(self._read_on)
        self._feed(data[:TURN_BYTES])

    def _feed(self, data: bytes | memoryview) -> None:
        if self._cause is not None or self._has_last:
            return
        self._listener.bytes_received += len(data)
        self._listener.service.latency.arrive()
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
            if not self.paused:
                # That of the first byte, which may be later than what comes now has.
                self._listener.deadlines.pop(self, None)
        try:
            while data and self._cause is None and not self._has_last:
                try:
                    parser.feed_data(data)
                    break
                except httptools.HttpParserUpgrade as offer:
                    data = data[offer.args[0] :]
                    self._ignore_offer(parser)
                    if self._successor is not None:
                        if data:
                            # It had to wait for the answer.
                            self._successor.abort("malformed")
                        return
        except httptools.HttpParserError:
            if not self._has_last:
                self.refuse(400, "this is not HTTP")
        if self._cause is not None:
            return
        if self._request is not None:
            self._listener.set_deadline(self, self._listener.http.request_s)
            return
        # Between requests a parser knows nothing, and is half of what a connection takes.
        self._parser = None
        if not self.paused:
            self._listener.deadlines.pop(self, None)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.paused = True
        self._listener.figures[PAUSED] += 1
        self._listener.figures[LIMITS["write_buffer"]] += 1
        if self._cause is None:
            # The rest of a request is not waited for while nothing is read.
            self._listener.deadlines.pop(self, None)
        self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        self._listener.figures[PAUSED] -= 1
        if self._cause is None:
            self._listener.deadlines.pop(self, None)
            if self._request is not None:
                self._listener.set_deadline(self, self._listener.http.request_s)
        # Not from inside the write that found the peer reading again.
        turns = self._listener.service.turns
        turns.later(self._read_on)
        turns.later(self._serve_next)

    def connection_lost(self, error: Exception | None) -> None:
        listener = self._listener
        listener.figures[CLOSED[self._cause or ("reset" if error else "peer")]] += 1
        listener.figures[PAUSED] -= self.paused
        if self.carried is not None:
            self.carried.detach()
        if self.work is not None:
            self.work.cancel()
        self.carried = self.work = self._parser = self._unfed = None
        listener.active.discard(self)
        listener.forget(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._request = HttpRequest()
        self._header_bytes = 0
        self._headers_complete = False
        self._body = None

    def on_url(self, url: bytes) -> None:
        request = self._current()
        request.path += url
        if len(request.path) > TARGET_MAX_BYTES:
            self.refuse(414, f"the target is longer than {TARGET_MAX_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._listener.http.max_header_bytes:
            self.refuse(431, f"headers are longer than {self._listener.http.max_header_bytes} bytes")
            return
        if self._headers_complete:
            # A trailer, which must not pass for a header: RFC 9110, 6.5.1.
            return
        request = self._current()
        key = name.decode("latin-1").lower()
        if key in request.headers:
            request.repeated.add(key)
        request.headers[key] = value.decode("latin-1").strip(" \t")

    def on_headers_complete(self) -> None:
        self._headers_complete = True
        if self._parser is None or self._parser.should_upgrade():
            return
        if self._offering is not None:
            self._request, self._offering = self._offering, None
        request = self._current()
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._listener.limits.max_line_bytes:
            self.refuse(413, f"a body is longer than {self._listener.limits.max_line_bytes} bytes", cause="oversize")
        elif request.headers.get("expect", "").lower() == "100-continue" and not (self._has_exchange or self._cause):
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._body is None:
            self._body = []
            self._body_bytes = 0
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._listener.limits.max_line_bytes:
            self.refuse(413, f"a body is longer than {self._listener.limits.max_line_bytes} bytes", cause="oversize")

    def on_message_complete(self) -> None:
        if self._cause is not None or self._parser is None or self._parser.should_upgrade():
            return
        request, self._request = self._current(), None
        request.method = self._parser.get_method().decode("latin-1")
        request.keep_alive = self._parser.should_keep_alive()
        request.path = request.path.partition(b"?")[0]
        if self._body is not None:
            request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = None
        if not self._has_exchange:
            self._serve(request)
            return
        if self._ahead is None:
            self._ahead = deque()
        self._ahead.append(request)
        if len(self._ahead) >= AHEAD_MAX:
            self._listener.figures[LIMITS["requests_ahead"]] += 1
            self._transport.pause_reading()

    # What the endpoint and streams call.

    @property
    def peer(self) -> str:
        """The client's address, empty where it has none."""
        return self._peer or address_of(self._transport)

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """Answer in one piece, which ends the exchange."""
        headers += self.extra_headers
        if not self.keep_alive or self._listener.draining:
            headers += b"Connection: close\r\n"
        if status == 503:
            headers += b"Retry-After: %d\r\n" % RETRY_AFTER_S
        if self._head_only:
            self._write(_OTHER_HEAD % (status, _REASONS[status].encode(), len(body), headers))
        elif status == 200:
            self._write(_JSON_HEAD % (len(body), headers) + body)
        elif body:
            self._write(_OTHER_HEAD % (status, _REASONS[status].encode(), len(body), headers) + body)
        else:
            self._write(_EMPTY_HEAD % (status, _REASONS[status].encode(), headers))
        self._end_exchange()

    def refuse(self, status: int, reason: str, *, cause: str = "malformed") -> None:
        """Answer what cannot be understood, and close. Behind an exchange that is under way there is no place for an
        answer, and none can follow it."""
        if self._cause is not None:
            return
        self._cause = cause
        if self._has_exchange:
            self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
            self._transport.close()
        else:
            self.keep_alive = self._head_only = False
            self._listener.figures[HTTP_REFUSED[str(status)]] += 1
            self.respond(status, self._listener.problem(reason))

    def start_events(self) -> None:
        self.streaming = True
        self._write(_EVENTS_HEAD % self.extra_headers)

    def write_event(self, event: bytes, *, droppable: bool) -> bool:
        """False when it was dropped: the client does not read. One that must not be lost is not sent to a client that
        leaves so much unread that it has to come back for the rest."""
        if self._transport.is_closing() or (self.paused and droppable):
            return False
        if self._transport.get_write_buffer_size() > UNREAD_MAX * self._listener.limits.write_buffer_bytes:
            self.abort("slow_reader")
            return False
        self._write(b"%x\r\n%b\r\n" % (len(event), event))
        return True

    def end_events(self) -> None:
        self._write(b"0\r\n\r\n")
        self._end_exchange()

    def keep_streaming(self) -> None:
        """A comment, so that nobody on the way takes the connection for dead."""
        if self.streaming and not self.paused:
            self._write(b"3\r\n:\n\n\r\n")

    @property
    def closing(self) -> bool:
        """Whether nobody waits for an answer any more."""
        return self._transport.is_closing()

    def finish_when_idle(self) -> None:
        """End a draining connection unless a request is under way."""
        if not self.busy and self._request is None and self._cause is None:
            self._cause = "drain"
            self._transport.close()

    def abort(self, cause: str) -> None:
        """End at once, under `cause` unless there was one already."""
        self._cause = self._cause or cause
        self._transport.abort()

    def time_out(self) -> None:
        """A deadline has passed."""
        if self.paused or self._cause is not None:
            self.abort("slow_reader")
        elif self._request is not None:
            self.refuse(408, "the request took too long to arrive", cause="slow_request")
        else:
            self.abort("slow_request")

    def detach_socket(self) -> tuple[int, Callable[[bool], None]] | None:
        """A file by which another process can answer the exchange, and a function to be told whether it will; None
        when that cannot be, because of what is still to be sent or was received ahead."""
        if self._ahead or self._unfed or self._transport.get_write_buffer_size():
            return None
        self._transport.pause_reading()
        if self._transport.get_extra_info("ssl_object") is None:
            return os.dup(self._transport.get_extra_info("socket").fileno()), partial(self._move, None)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        return theirs.detach(), partial(self._move, ours)

    def _move(self, ours: socket.socket | None, is_taken: bool) -> None:
        if is_taken and ours is None:
            self.abort("moved")
        elif is_taken and ours is not None:
            self._cause = "moved"
            self.carried = self.work = self._parser = None
            self._listener.figures[CLOSED["moved"]] += 1
            self._listener.replace(self, Bridge(self._listener, self._transport, ours))
        else:
            if ours is not None:
                ours.close()
            self._transport.resume_reading()

    @property
    def can_give_way(self) -> bool:
        """Whether nothing is still to be sent or was received ahead."""
        return not (self._ahead or self._unfed or self.paused)

    def give_way(self, successor: Connection, answer: bytes) -> None:
        """Send `answer`, and have the connection go on as `successor`."""
        self._successor = successor
        self.work = self._parser = None
        self._listener.replace(self, successor)
        self._write(answer)
        self._transport.set_protocol(successor)
        successor.connection_made(self._transport)

    def adopt(self, request: HttpRequest, peer: str) -> None:
        """Serve a request that another process has read, from `peer`."""
        if self._cause is None:
            self._peer = peer
            self._listener.deadlines.pop(self, None)
            self._listener.service.latency.arrive()
            self._serve(request)

    def _write(self, data: bytes) -> None:
        self._transport.write(data)
        self._listener.bytes_sent += len(data)

    @property
    def _has_exchange(self) -> bool:
        """Whether a request is being answered, or waits to be."""
        return self.busy or bool(self._ahead)

    @property
    def _has_last(self) -> bool:
        """Whether a request under way is the client's last, as it has said: what comes behind it is nothing."""
        return not self._ahead[-1].keep_alive if self._ahead else self.busy and not self.keep_alive

    def _serve(self, request: HttpRequest) -> None:
        self.busy = True
        self.keep_alive = request.keep_alive
        self._head_only = request.method == "HEAD"
        self._listener.serve(self, request)

    def _end_exchange(self) -> None:
        self.busy = self.streaming = False
        self.extra_headers = b""
        self.carried = self.work = None
        self._listener.active.discard(self)
        if not self.keep_alive or self._cause is not None or self._listener.draining:
            self._cause = self._cause or ("drain" if self._listener.draining else "done")
            self._listener.set_deadline(self, self._listener.limits.slow_reader_s)
            self._transport.close()
        elif self._ahead:
            # Not from inside the exchange that ends.
            self._listener.service.turns.later(self._serve_next)

    def _serve_next(self) -> None:
        if self._ahead and not self.busy and not self.paused and not self._transport.is_closing():
            self._listener.service.latency.arrive()
            self._serve(self._ahead.popleft())
            if len(self._ahead) == AHEAD_MAX - 1:
                self._read_on()

    def _read_on(self) -> None:
        """Read what was received and not taken, or else from the peer again, unless there is a reason to wait."""
        if self.paused or self._transport.is_closing() or (self._ahead and len(self._ahead) >= AHEAD_MAX):
            return
        unfed, self._unfed = self._unfed, None
        if unfed is None:
            self._transport.resume_reading()
        elif len(unfed) > TURN_BYTES:
            self._feed_in_turns(unfed)
        else:
            self._feed(unfed)
            self._read_on()

    def _ignore_offer(self, parser: httptools.HttpRequestParser) -> None:
        """The parser has stopped behind the head of a request that offers an upgrade, as if it had no body. The offer
        may be ignored (RFC 9110, section 7.8): have the parser read on behind a head that is framed alike."""
        method = parser.get_method()
        if method == b"CONNECT":
            self.refuse(400, "no tunnel is offered here")
            return
        self._offering = self._current()
        kept = ("connection", "content-length", "transfer-encoding")
        framing = "".join(f"{name}: {value}\r\n" for name, value in self._offering.headers.items() if name in kept)
        version = parser.get_http_version().encode()
        parser.feed_data(b"%b / HTTP/%b\r\n%b\r\n" % (method, version, framing.encode("latin-1")))

    def _current(self) -> HttpRequest:
        assert self._request is not None
        return self._request

"""HTTP/1.1 responses (RFC 9112) and server-sent events, cut out of the bytes of a connection.

A parser object for each connection would cost more than all the rest of it, so what is known of an unfinished response
is a small value, `Framing`, and between responses the constant `IDLE`. Bodies have a Content-Length or are chunked;
only an event stream is read before it has ended, and its lines end with LF or CR LF.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, TypeAlias

HEAD_BOUND_BYTES = 64 * 1024
_CHUNK_LINE_BOUND_BYTES = 256
_HEXADECIMAL = b"0123456789abcdefABCDEF"
_WITHOUT_BODY = (204, 304)


class FramingError(Exception):
    """These bytes are no response that could be cut out; `cause` is what the connection ends with."""

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(cause)


class Head(NamedTuple):
    """What matters of a response's head. `length` is None for a chunked body; `events` says that it is a stream."""

    status: int
    length: int | None
    events: bool
    session_id: bytes | None


class Response(NamedTuple):
    """A whole response that is no event stream."""

    head: Head
    body: bytes


class Ended(Enum):
    """The end of an event stream."""

    STREAM = "stream"


#: The head of an event stream, one message of it, its end; or a whole response.
Part: TypeAlias = Head | bytes | Ended | Response


class Framing(NamedTuple):
    """Bytes of an unfinished response or chunk, those of an unfinished event, and whether a stream is open."""

    rest: bytes
    event: bytes
    streaming: bool


IDLE = Framing(b"", b"", False)
STREAMING = Framing(b"", b"", True)


def advance(framing: Framing, data: bytes, body_bound: int) -> tuple[Framing, list[Part]]:
    """What `data` completes, and what is left of it.

    Raises:
        FramingError: it is not HTTP, or longer than `body_bound`.
    """
    rest, event, streaming = framing
    if rest:
        data = rest + data
    parts: list[Part] = []
    at = 0
    while at < len(data):
        if streaming:
            chunk = _chunk(data, at, body_bound)
            if chunk is None:
                break
            start, end, at = chunk
            if start == end:
                parts.append(Ended.STREAM)
                event, streaming = b"", False
                continue
            event, messages = _messages(event + data[start:end])
            parts += messages
            if len(event) > body_bound:
                raise FramingError("garbage")
            continue
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            _check_beginning(data[at:])
            break
        head, body_at = parse_head(data[at:end]), end + 4
        if head.status < 200:  # an interim response, such as 100 Continue
            at = body_at
        elif head.events and head.length is None:
            parts.append(head)
            at, streaming = body_at, True
        else:
            whole = _body(head, data, body_at, body_bound)
            if whole is None:
                break
            body, at = whole
            if head.events:
                parts += [head, *_messages(body)[1], Ended.STREAM]
            else:
                parts.append(Response(head, body))
    rest = data[at:]
    if rest or event:
        return Framing(rest, event, streaming), parts
    return STREAMING if streaming else IDLE, parts


def parse_head(head: bytes) -> Head:
    """The head of a response, without the empty line at its end.

    Raises:
        FramingError: it cannot be understood, or does not say how long the body is.
    """
    status_line, *lines = head.split(b"\r\n")
    words = status_line.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not (len(words[1]) == 3 and words[1].isdigit()):
        raise FramingError("garbage")
    status, length, chunked, events, session_id = int(words[1]), None, False, False, None
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise FramingError("bad_headers")
        match name.lower():
            case b"content-length":
                digits = value.strip()
                if not digits.isdigit() or len(digits) > 15:
                    raise FramingError("bad_headers")
                length = int(digits)
            case b"transfer-encoding":
                chunked = value.strip().lower() == b"chunked"
            case b"content-type":
                events = value.partition(b";")[0].strip().lower() == b"text/event-stream"
            case b"mcp-session-id":
                session_id = value.strip()
    if status < 200 or status in _WITHOUT_BODY:
        length, chunked, events = 0, False, False
    if chunked:
        length = None
    elif length is None:
        raise FramingError("bad_headers")
    return Head(status, length, events, session_id)


def _check_beginning(data: bytes) -> None:
    """An unfinished head must look like one, and may not grow for ever."""
    if not data.startswith(b"HTTP/1."[: len(data)]):
        raise FramingError("garbage")
    if len(data) > HEAD_BOUND_BYTES:
        raise FramingError("bad_headers")


def _body(head: Head, data: bytes, at: int, bound: int) -> tuple[bytes, int] | None:
    """The body that begins at `at`, and where it ends; None when it is not complete."""
    if head.length is not None:
        if head.length > bound:
            raise FramingError("garbage")
        end = at + head.length
        return (data[at:end], end) if end <= len(data) else None
    pieces: list[bytes] = []
    while (chunk := _chunk(data, at, bound)) is not None:
        start, end, at = chunk
        if start == end:
            return b"".join(pieces), at
        pieces.append(data[start:end])
        if sum(map(len, pieces)) > bound:
            raise FramingError("garbage")
    return None


def _chunk(data: bytes, at: int, bound: int) -> tuple[int, int, int] | None:
    """Start and end of the content of the chunk at `at`, and where the next begins; None when it is not complete.

    The last chunk is empty, and ends with the trailer.
    """
    line_end = data.find(b"\r\n", at, at + _CHUNK_LINE_BOUND_BYTES)
    if line_end < 0:
        if len(data) - at > _CHUNK_LINE_BOUND_BYTES:
            raise FramingError("garbage")
        return None
    digits = data[at:line_end].partition(b";")[0].strip()
    if not digits or digits.strip(_HEXADECIMAL) or (size := int(digits, 16)) > bound:
        raise FramingError("garbage")
    start = line_end + 2
    if size == 0:
        # Either the empty line comes at once, or after the fields of a trailer.
        trailer_end = data.find(b"\r\n\r\n", line_end)
        if trailer_end < 0 and len(data) - line_end > HEAD_BOUND_BYTES:
            raise FramingError("bad_headers")
        return None if trailer_end < 0 else (start, start, trailer_end + 4)
    end = start + size
    if len(data) < end + 2:
        return None
    if data[end : end + 2] != b"\r\n":
        raise FramingError("garbage")
    return start, end, end + 2


def _messages(stream: bytes) -> tuple[bytes, list[Part]]:
    """The data of the events that are complete, and the rest. Comments and events without data say nothing.

    https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """
    messages: list[Part] = []
    data: list[bytes] = []
    rest_at = at = 0
    while (end := stream.find(b"\n", at)) >= 0:
        line = stream[at:end].removesuffix(b"\r")
        at = end + 1
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line:
            if message := b"\n".join(data):
                messages.append(message)
            data.clear()
            rest_at = at
    return stream[rest_at:], messages

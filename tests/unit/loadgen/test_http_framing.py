"""Responses cut out of bytes that arrive in any pieces, held against what was put together."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c100k_loadgen.http_framing import (
    HEAD_BOUND_BYTES,
    IDLE,
    STREAMING,
    Ended,
    Framing,
    FramingError,
    Head,
    Part,
    Response,
    advance,
)

BOUND = 1 << 16

bodies = st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda text: json.dumps({"text": text}).encode()))
messages = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=30).map(str.encode),
    max_size=5,
)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8)


def in_pieces(data: bytes, lengths: list[int]) -> list[bytes]:
    """`data` cut after these lengths, again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + lengths[turn % len(lengths)]])
        at, turn = at + len(pieces[-1]), turn + 1
    return pieces


def take(pieces: list[bytes]) -> tuple[Framing, list[Part]]:
    framing, found = IDLE, list[Part]()
    for piece in pieces:
        framing, parts = advance(framing, piece, BOUND)
        found += parts
    return framing, found


def chunked(body: bytes, lengths: list[int], trailer: bytes = b"") -> bytes:
    chunks = (b"%X;name=value\r\n%b\r\n" % (len(piece), piece) for piece in in_pieces(body, lengths))
    return b"".join(chunks) + b"0\r\n" + trailer + b"\r\n"


@st.composite
def responses(draw: st.DrawFn) -> tuple[bytes, list[Part]]:
    """A response as a server may write it, and the parts that it has."""
    kind = draw(st.sampled_from(["length", "chunked", "events", "events_of_a_length", "none", "interim"]))
    status = draw(st.sampled_from([200, 404, 503]))
    status_line = b"HTTP/1.1 %d Whatever it is\r\n" % status
    if kind == "interim":
        return b"HTTP/1.1 100 Continue\r\n\r\n", []
    if kind == "none":
        return b"HTTP/1.1 204 No Content\r\n\r\n", [Response(Head(204, 0, False, None), b"")]
    if kind in ("length", "chunked"):
        body = draw(bodies)
        if kind == "length":
            head = b"content-LENGTH:%d\r\nMcp-Session-Id: abc\r\n\r\n" % len(body)
            return status_line + head + body, [Response(Head(status, len(body), False, b"abc"), body)]
        head = b"Transfer-Encoding: chunked\r\n\r\n"
        trailer = draw(st.sampled_from([b"", b"X-Trailer: 1\r\n"]))
        written = status_line + head + chunked(body, draw(sizes), trailer)
        return written, [Response(Head(status, None, False, None), body)]
    lines = draw(st.sampled_from([b"\n", b"\r\n"]))
    stream, data = b"", draw(messages)
    for message in data:
        stream += draw(st.sampled_from([b"", b": comment" + lines * 2, b"id: 7" + lines + b"data:" + lines * 2]))
        stream += b"event: message" + lines + b"data: " + message + lines * 2
    expected: list[Part] = [message.removeprefix(b" ") for message in (b" " + each for each in data)]
    kind_line = b"Content-Type: text/event-stream; charset=utf-8\r\n"
    if kind == "events":
        written = status_line + kind_line + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(stream, draw(sizes))
        return written, [Head(status, None, True, None), *expected, Ended.STREAM]
    head = Head(status, len(stream), True, None)
    written = status_line + kind_line + b"Content-Length: %d\r\n\r\n" % len(stream) + stream
    return written, [head, *expected, Ended.STREAM]


@settings(deadline=None)
@given(st.lists(responses(), max_size=4), sizes)
def test_the_same_parts_come_out_however_the_bytes_arrive(
    written: list[tuple[bytes, list[Part]]], lengths: list[int]
) -> None:
    data = b"".join(each for each, _ in written)
    expected = [part for _, parts in written for part in parts]
    assert take([data]) == (IDLE, expected)
    framing, found = take(in_pieces(data, lengths))
    assert framing is IDLE, "nothing is held between responses"
    assert found == expected


def test_an_open_stream_holds_nothing_between_events() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    framing, _ = advance(IDLE, head, BOUND)
    assert framing is STREAMING
    framing, parts = advance(framing, b"9\r\ndata: x\n\n\r\n3\r\n:\n\n\r\n", BOUND)
    assert framing is STREAMING
    assert parts == [b"x"]
    framing, parts = advance(framing, b"6\r\ndata: ", BOUND)
    assert framing == Framing(b"6\r\ndata: ", b"", True)
    assert parts == []


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "garbage"),
        (b'{"jsonrpc":"2.0"}\n', "garbage"),
        (b"HTTP/1.1 20\r\n\r\n", "garbage"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "garbage"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "bad_headers"),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil it closes", "bad_headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "bad_headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n", "bad_headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * HEAD_BOUND_BYTES, "bad_headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BOUND + 1), "garbage"),
        (CHUNKED + b"0x10\r\n", "garbage"),
        (CHUNKED + b"-1\r\n", "garbage"),
        (CHUNKED + b"\r\n", "garbage"),
        (CHUNKED + b"1\r\nab\r\n", "garbage"),
        (CHUNKED + b"1" * 300, "garbage"),
        (CHUNKED + b"%x\r\n" % (BOUND + 1), "garbage"),
        (CHUNKED + b"8000\r\n%b\r\n" % (b"x" * 0x8000) * 3, "garbage"),
        (EVENTS + b"8000\r\n%b\r\n" % (b"x" * 0x8000) * 3, "garbage"),
    ],
)
def test_what_is_no_response_is_refused_however_it_arrives(data: bytes, cause: str) -> None:
    for length in (len(data), 1000):
        with pytest.raises(FramingError) as refusal:
            take(in_pieces(data, [length]))
        assert refusal.value.cause == cause

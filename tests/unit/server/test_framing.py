"""Framing: however a stream is cut into segments, the same lines come out."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from c100k_server.framing import split_lines

LINES = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=12)
MAX_LINE_BYTES = 20


def feed(segments: list[bytes], max_line_bytes: int) -> tuple[list[bytes], bytearray | None, bool]:
    lines: list[bytes] = []
    partial: bytearray | None = None
    for segment in segments:
        whole, partial, oversize = split_lines(partial, segment, max_line_bytes)
        lines += whole
        if oversize:
            return lines, partial, True
    return lines, partial, False


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    bounds = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[start:end] for start, end in pairwise(bounds)]


@given(lines=LINES, rest=st.binary(max_size=40), places=st.lists(st.integers(0, 1000)))
def test_lines_do_not_depend_on_segments(lines: list[bytes], rest: bytes, places: list[int]) -> None:
    rest = rest.replace(b"\n", b"")
    stream = b"".join(line + b"\n" for line in lines) + rest
    whole, partial, oversize = feed(cut(stream, places), max_line_bytes=1000)
    assert whole == lines
    assert bytes(partial or b"") == rest
    assert not oversize


@given(lines=LINES, places=st.lists(st.integers(0, 1000)))
def test_the_first_line_that_is_too_long_ends_the_stream(lines: list[bytes], places: list[int]) -> None:
    fitting = next((n for n, line in enumerate(lines) if len(line) > MAX_LINE_BYTES), len(lines))
    whole, _, oversize = feed(cut(b"".join(line + b"\n" for line in lines), places), MAX_LINE_BYTES)
    assert whole == lines[:fitting]
    assert oversize == (fitting < len(lines))


@given(segments=st.lists(st.binary(min_size=1, max_size=50)))
def test_no_more_than_one_line_is_kept(segments: list[bytes]) -> None:
    partial: bytearray | None = None
    for segment in segments:
        _, partial, oversize = split_lines(partial, segment, MAX_LINE_BYTES)
        if oversize:
            break
        assert partial is None or 0 < len(partial) <= MAX_LINE_BYTES

"""Newline-delimited messages: the framing of MCP's stdio transport, used here over TCP."""

from __future__ import annotations

from typing import NamedTuple


class Split(NamedTuple):
    """`lines` that are whole, without their newline; `partial`, the start of the next; and whether that which
    follows `lines` is longer than a line may be, in which case the rest of the stream is not to be used."""

    lines: list[bytes]
    partial: bytearray | None
    oversize: bool


def split_lines(partial: bytearray | None, data: bytes, max_line_bytes: int) -> Split:
    """Cut `data`, which follows `partial`, into lines. `partial` is taken over and may be changed.

    Each byte is looked at once and copied at most twice, however many segments a line comes in.
    """
    first: list[bytes] = []
    if partial is not None:
        end = data.find(b"\n")
        partial += data if end < 0 else data[:end]
        if len(partial) > max_line_bytes:
            return Split([], None, True)
        if end < 0:
            return Split([], partial, False)
        first.append(bytes(partial))
        data = data[end + 1 :]
    lines = first + data.split(b"\n")
    rest = lines.pop()
    for position, line in enumerate(lines):
        if len(line) > max_line_bytes:
            return Split(lines[:position], None, True)
    if len(rest) > max_line_bytes:
        return Split(lines, None, True)
    return Split(lines, bytearray(rest) if rest else None, False)

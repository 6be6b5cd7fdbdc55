"""Samples into Prometheus, by its remote-write protocol, which it takes with `--web.enable-remote-write-receiver`.

A request is a message of protocol buffers in a block of Snappy, https://prometheus.io/docs/specs/prw/remote_write_spec/.
Of Snappy's format (https://github.com/google/snappy/blob/main/format_description.txt) only literals are used: the few
kilobytes of a run need not be compressed.
"""

from __future__ import annotations

import struct
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException

from c100k.prometheus import PrometheusError

_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}

#: Wire types of protocol buffers.
_VARINT, _FIXED64, _LENGTH_DELIMITED = 0, 1, 2

#: A literal of Snappy whose length, less one, follows in two bytes.
_LITERAL = 61 << 2
_LITERAL_MAX_BYTES = 1 << 16

_SAID_MAX_BYTES = 500


@dataclass(frozen=True)
class Point:
    """One sample; `labels` are without the name, and `at_ms` is in Unix milliseconds."""

    name: str
    labels: Mapping[str, str]
    value: float
    at_ms: int


def write(url: str, points: Iterable[Point], answer_limit_s: float) -> None:
    """Send all points in one request: Prometheus takes all of them or none.

    Raises:
        PrometheusError: it does not answer, or refuses them.
    """
    body = _snappy(b"".join(_field(1, _series(point)) for point in points))
    request = urllib.request.Request(f"{url.rstrip('/')}/api/v1/write", body, _HEADERS)
    try:
        with urllib.request.urlopen(request, timeout=answer_limit_s):
            return
    except urllib.error.HTTPError as error:
        said = error.read(_SAID_MAX_BYTES).decode(errors="replace").strip()
        raise PrometheusError(f"Prometheus at {url} refuses the samples: {said or error}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise PrometheusError(f"Prometheus at {url} does not take the samples: {error}") from None


def _series(point: Point) -> bytes:
    """A message TimeSeries of one sample; labels must come in the order of their names."""
    labels = sorted({"__name__": point.name, **point.labels}.items())
    encoded = b"".join(_field(1, _field(1, name.encode()) + _field(2, text.encode())) for name, text in labels)
    value = _varint(1 << 3 | _FIXED64) + struct.pack("<d", point.value)
    return encoded + _field(2, value + _varint(2 << 3 | _VARINT) + _varint(point.at_ms))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the low ones first; all but the last have their top bit set."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _snappy(data: bytes) -> bytes:
    return _varint(len(data)) + b"".join(_literals(data))


def _literals(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _LITERAL_MAX_BYTES):
        chunk = data[start : start + _LITERAL_MAX_BYTES]
        yield struct.pack("<BH", _LITERAL, len(chunk) - 1) + chunk

"""The run while it happens, over plain HTTP/1.1: as one JSON document at `/status`, and as figures at `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from hdrh.histogram import HdrHistogram

from c100k_loadgen.assignment import Report
from c100k_loadgen.errors import StatusAddressError
from c100k_loadgen.generator_file import RunState
from c100k_loadgen.recorder import DIGITS, HIGHEST_US, LOWEST_US

_REQUEST_TIMEOUT_S = 5.0
_JSON = "application/json"


class Page(msgspec.Struct, frozen=True):
    """What is found at a path."""

    content_type: str
    body: Callable[[], bytes]


def json_page(status: Callable[[], Status]) -> Page:
    """What `status` returns, as JSON."""
    return Page(_JSON, lambda: msgspec.json.encode(status()))


class LastSecond(msgspec.Struct, frozen=True):
    """The newest second that every living worker has reported; `response_hdr` holds microseconds, V2-encoded."""

    t: int
    sent: int
    answered: int
    response_hdr: str


class WorkerStatus(msgspec.Struct, frozen=True):
    index: int
    pid: int | None
    alive: bool


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Counts are since the start and over all workers, dead ones with what they last reported; `connected` is now, and
    `stage` that of the hold, if it has any.

    `said` is what servers said most often when they refused something.
    """

    run_id: str
    host: str
    state: RunState
    stage: str
    phase_ends_at: int | None
    ends_at: int
    target: int
    connected: int
    opened: int
    connect_errors: int
    closed: int
    intended: int
    sent: int
    answered: int
    errors: int
    timeouts: int
    away: int
    resumed: int
    said: dict[str, int]
    reopening: int
    last_second: LastSecond | None
    workers: list[WorkerStatus]


def merge(reports: list[Report]) -> LastSecond:
    """The reports of one second as one: counts and histograms are added."""
    merged = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for report in reports:
        merged.decode_and_add(report.response_hdr)
    return LastSecond(
        t=reports[0].t,
        sent=sum(report.sent for report in reports),
        answered=sum(report.answered for report in reports),
        response_hdr=str(merged.encode(), "ascii"),
    )


async def serve(host: str, port: int, pages: Mapping[str, Page]) -> asyncio.Server:
    """Answer requests for `pages`, which are there by path.

    Raises:
        StatusAddressError: nothing can listen there.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _REQUEST_TIMEOUT_S)
            writer.write(_respond(head.split(b"\r\n", 1)[0].split(), pages))
            await asyncio.wait_for(writer.drain(), _REQUEST_TIMEOUT_S)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # whoever asked is gone, or does not speak HTTP
        finally:
            writer.close()

    try:
        return await asyncio.start_server(connected, host, port)
    except OSError as error:
        raise StatusAddressError(host, port, error.strerror or str(error)) from None


def _respond(request: list[bytes], pages: Mapping[str, Page]) -> bytes:
    if len(request) != 3 or not request[2].startswith(b"HTTP/1."):
        return _response("400 Bad Request", _JSON, b'{"error":"not an HTTP request"}')
    page = pages.get(request[1].split(b"?")[0].decode("latin-1"))
    if page is None:
        return _response("404 Not Found", _JSON, b'{"error":"only %b are here"}' % " and ".join(pages).encode())
    if request[0] not in (b"GET", b"HEAD"):
        return _response("405 Method Not Allowed", _JSON, b'{"error":"only GET"}', "Allow: GET, HEAD\r\n")
    return _response("200 OK", page.content_type, page.body(), head_only=request[0] == b"HEAD")


def _response(line: str, content_type: str, body: bytes, headers: str = "", *, head_only: bool = False) -> bytes:
    head = f"HTTP/1.1 {line}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n{headers}"
    return f"{head}Connection: close\r\n\r\n".encode("ascii") + (b"" if head_only else body)

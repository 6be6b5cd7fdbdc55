"""HTTP for operators: /metrics, /healthz and /readyz. One request per connection; a few scrapers, never clients.

`/metrics?name[]=NAME&name[]=...` has some families only, as in other exporters: what asks every second should not have
hundreds of lines made that it does not read.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import parse_qs

from c100k_server.config import Address
from c100k_server.errors import BindError

REQUEST_MAX_BYTES = 16 * 1024
REQUEST_TIMEOUT_S = 5.0

# Status, content type, body.
Page: TypeAlias = tuple[HTTPStatus, str, bytes]
# Makes a page of those `name[]` that it was asked for.
MakePage: TypeAlias = Callable[[list[str]], Page]


async def start(address: Address, pages: Mapping[str, MakePage]) -> tuple[asyncio.Server, Address]:
    """Serve `pages` by path, and say where. Raises `BindError`."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A peer that goes away, or sends nothing, harms nobody but itself.
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                status, content_type, content, head_only = await _respond(reader, pages)
                writer.write(
                    f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {content_type}\r\n"
                    f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode()
                )
                if not head_only:
                    writer.write(content)
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(on_connection, address.host, address.port, limit=REQUEST_MAX_BYTES)
    except OSError as error:
        raise BindError(address=str(address), option="--admin", reason=_reason(error)) from None
    name = server.sockets[0].getsockname()
    return server, Address(str(name[0]), int(name[1]))


async def _respond(reader: asyncio.StreamReader, pages: Mapping[str, MakePage]) -> tuple[HTTPStatus, str, bytes, bool]:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return *_plain(HTTPStatus.BAD_REQUEST), False
    except asyncio.LimitOverrunError:
        return *_plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), False
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return *_plain(HTTPStatus.BAD_REQUEST), False
    method, target, _ = words
    if method not in ("GET", "HEAD"):
        return *_plain(HTTPStatus.METHOD_NOT_ALLOWED), False
    path, _, query = target.partition("?")
    page = pages.get(path)
    return *(page(parse_qs(query).get("name[]", [])) if page else _plain(HTTPStatus.NOT_FOUND)), method == "HEAD"


def _plain(status: HTTPStatus) -> Page:
    return status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode()


def _reason(error: OSError) -> str:
    # uvloop wraps the system's words in a sentence with the address, which the error names already.
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)

"""A few words with one Redis, on a connection that ends with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import hiredis

from c100k_server.config import Address
from c100k_server.redis.cluster import Settings
from c100k_server.redis.errors import CommandError, StateUnavailableError
from c100k_server.redis.operation import Argument

READ_BYTES = 65536

_NOTHING = object()


async def converse(settings: Settings, address: Address, *commands: Sequence[Argument], timeout_s: float) -> list[Any]:
    """The replies to commands, with strings as bytes. Raises `CommandError` and `StateUnavailableError`."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            try:
                return await _ask(reader, writer, [*settings.commands(), *commands], len(commands))
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, hiredis.ProtocolError) as error:
        raise StateUnavailableError(f"{address} does not answer: {error or 'no answer'}") from None


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, commands: list[Sequence[Argument]], wanted: int
) -> list[Any]:
    writer.write(b"".join(hiredis.pack_command(cast(Any, tuple(command))) for command in commands))
    parser = hiredis.Reader(notEnoughData=_NOTHING)
    replies: list[Any] = []
    while len(replies) < len(commands):
        received = await reader.read(READ_BYTES)
        if not received:
            raise ConnectionResetError("the connection was closed")
        parser.feed(received)
        while (reply := parser.gets()) is not _NOTHING:
            if isinstance(reply, hiredis.ReplyError):
                raise CommandError(str(reply))
            replies.append(reply)
    return replies[-wanted:]

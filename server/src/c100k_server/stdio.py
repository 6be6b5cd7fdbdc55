"""MCP over standard input and output, one JSON message a line: a client that starts this process as its server."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from c100k_server.app import App
from c100k_server.config import DEFAULT_MAX_LINE_BYTES
from c100k_server.service import Service
from c100k_server.session import Session, UnreadableMessagesError
from c100k_server.statistics import StatisticsBoard
from c100k_server.subscriptions import Event
from c100k_server.task_store import Owner

# How long what is under way may take once the client has closed our input.
FINISH_S = 10.0


class StdioOutlet:
    """Standard output."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    @property
    def principal(self) -> None:
        """The client has started this process, and needs no token."""

    @property
    def standing(self) -> StdioOutlet:
        return self

    @property
    def client(self) -> Owner:
        return Owner("address", "stdio")

    @property
    def open(self) -> bool:
        return not self._writer.is_closing()

    def send(self, line: bytes) -> bool:
        if not self.open:
            return False
        self._writer.write(line)
        return True

    def answer(self, line: bytes, error_code: int) -> None:
        self.send(line)

    def tell(self, event: Event) -> bool:
        return self.send(event.line)

    def leave(self) -> None:
        """A session of a pipe is nowhere else."""

    def close_stream(self) -> None:
        """A pipe cannot be resumed."""


async def serve_stdio(app: App) -> None:
    """Serve one client until it closes standard input."""
    loop = asyncio.get_running_loop()
    # What the app prints must not look like messages.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    reader = asyncio.StreamReader(DEFAULT_MAX_LINE_BYTES)
    reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, output)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    # Nobody reads the figures.
    service = Service(app, StatisticsBoard.create(1).row(0), os.urandom(32), loop)
    session, outlet = Session(service), StdioOutlet(writer)
    service.subscriptions.audiences.append(lambda: [outlet] if session.version is not None else [])
    async with AsyncExitStack() as stack:
        if app.lifespan is not None:
            service.lifespan = await stack.enter_async_context(app.lifespan())
        await _serve_lines(reader, writer, session, outlet)
        session.end_input()
        await session.wait_idle(FINISH_S)
        session.close()
    service.close()
    reading.close()
    writer.close()


async def _serve_lines(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: Session, outlet: StdioOutlet
) -> None:
    try:
        while line := await reader.readline():
            answer = session.handle(line, outlet)
            if answer:
                writer.write(answer)
            await writer.drain()
    except ValueError:
        writer.write(session.refuse_oversize(DEFAULT_MAX_LINE_BYTES))
    except UnreadableMessagesError as error:
        writer.write(error.answer)
    except ConnectionError:
        # The client is gone, and nobody is left to be told.
        return

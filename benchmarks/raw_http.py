"""A client that is not what is measured: preformatted requests over HTTP/1.1, and their whole answers."""

from __future__ import annotations

import asyncio

END_OF_HEAD = b"\r\n\r\n"
END_OF_CHUNKS = b"\r\n0\r\n\r\n"
CONTENT_LENGTH = b"content-length:"
# No answer here takes so long unless something is broken.
ANSWER_S = 60.0


class Client(asyncio.Protocol):
    """One connection, with one request at a time, or one stream that stays open."""

    __slots__ = ("_answered", "_mark", "_transport", "heard", "received")

    def __init__(self) -> None:
        self.received = b""
        self.heard = asyncio.Event()
        self._mark: bytes | None = None
        self._answered: asyncio.Future[bytes] | None = None

    @classmethod
    async def connect(cls, port: int, host: str = "127.0.0.1") -> Client:
        _, client = await asyncio.get_running_loop().create_connection(cls, host, port)
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.heard.set()
        if self._answered is not None and self._is_whole():
            self._answered.set_result(self.received)
            self._answered = None

    def connection_lost(self, error: Exception | None) -> None:
        if self._answered is not None:
            self._answered.set_exception(ConnectionResetError("the server closed before it had answered"))
            self._answered = None

    async def ask(self, request: bytes) -> bytes:
        """The answer to `request`, head and body. Raises `ConnectionResetError` or `TimeoutError`."""
        return await self._send(request, None)

    async def open_stream(self, request: bytes, mark: bytes) -> bytes:
        """What has come once `mark` has, of an answer that does not end."""
        return await self._send(request, mark)

    def close(self) -> None:
        self._transport.close()

    async def _send(self, request: bytes, mark: bytes | None) -> bytes:
        self.received, self._mark = b"", mark
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        async with asyncio.timeout(ANSWER_S):
            return await self._answered

    def _is_whole(self) -> bool:
        if self._mark is not None:
            return self._mark in self.received
        head, found, body = self.received.partition(END_OF_HEAD)
        if not found:
            return False
        _, sized, rest = head.lower().partition(CONTENT_LENGTH)
        return len(body) >= int(rest.split(b"\r\n", 1)[0]) if sized else self.received.endswith(END_OF_CHUNKS)


def post(port: int, body: bytes, headers: bytes = b"") -> bytes:
    """A request to the endpoint, with `headers` that each end with CRLF."""
    return (
        b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/json, text/event-stream\r\n"
        b"Content-Type: application/json\r\nUser-Agent: benchmark\r\n%bContent-Length: %d\r\n\r\n%b"
    ) % (port, headers, len(body), body)


def get(port: int, headers: bytes) -> bytes:
    return (
        b"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\nUser-Agent: benchmark\r\n%b\r\n"
    ) % (port, headers)

"""The least that can answer the generator: one uvloop process that parses each line and builds its answer."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
import uvloop

INITIALIZED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "bare", "version": "0"}}


class Bare(asyncio.Protocol):
    __slots__ = ("rest", "transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own class
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        answers = [answer for line in lines if (answer := reply(msgspec.json.decode(line)))]
        if answers:
            self.transport.write(b"".join(answers))


def reply(message: dict[str, Any]) -> bytes:
    if "id" not in message:
        return b""
    result: dict[str, Any] = INITIALIZED
    if message["method"] == "tools/call":
        result = {"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}]}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": message["id"], "result": result}) + b"\n"


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))

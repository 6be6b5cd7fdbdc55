"""A server of MCP over WebSocket, by `websockets`, that answers calls in one of several ways; its port is on stdout.

whole       as they are asked for, after a ping and a notification
fragmented  in frames of 10 bytes each
closing     the first with a close frame, 1013
binary      in binary frames
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

BEHAVIOUR = sys.argv[1]


def _result(message: dict[str, object]) -> dict[str, object]:
    if message["method"] == "initialize":
        info = {"name": "misbehaving", "version": "0"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    params = message["params"]
    assert isinstance(params, dict)
    return {"content": [{"type": "text", "text": params["arguments"]["text"]}]}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 10):
        yield text[start : start + 10]


def handle(connection: ServerConnection) -> None:
    try:
        for received in connection:
            assert isinstance(received, str), "one text frame a message"
            message = json.loads(received)
            if "id" not in message:
                continue
            answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": _result(message)})
            if message["method"] == "initialize" or BEHAVIOUR == "whole":
                connection.ping()
                connection.send('{"jsonrpc":"2.0","method":"notifications/message","params":{}}')
                connection.send(answer)
            elif BEHAVIOUR == "fragmented":
                connection.send(_pieces(answer))
            elif BEHAVIOUR == "closing":
                connection.close(1013)
            else:
                connection.send(answer.encode())
    except ConnectionClosed:
        pass


with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol("mcp")], compression=None) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()

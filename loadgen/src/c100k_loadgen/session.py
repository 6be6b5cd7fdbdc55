"""The MCP messages of one session, era 2025-11-25 and its elders: newline-delimited JSON-RPC 2.0 over TCP.

The framing is that of the specification's stdio transport, which it says a custom transport should reuse.
"""

from __future__ import annotations

import string
from typing import Any, Literal

import msgspec

from c100k_loadgen.version import VERSION

#: The revisions that have the handshake of this module.
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")

#: The handshake's request has the id 0, as the official TypeScript SDK begins; calls count from 1.
INITIALIZE_ID = 0

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'

_METHOD_NOT_FOUND = -32601


class Content(msgspec.Struct, gc=False):
    text: str | None = None


class CallResult(msgspec.Struct, gc=False):
    content: list[Content]
    isError: bool = False


class Message(msgspec.Struct, gc=False):
    """A line from the server in an open session: the answer to a call, or a request or notification of its own."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    result: CallResult | None = None
    error: Any = None


class InitializeResult(msgspec.Struct):
    protocolVersion: str
    capabilities: dict[str, Any]
    serverInfo: dict[str, Any]


class InitializeAnswer(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    result: InitializeResult | None = None


class Envelope(msgspec.Struct):
    """Any JSON-RPC message, for one whose contents are not what they should be: `id` tells whose it is."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None


decode_message = msgspec.json.Decoder(Message).decode
decode_initialize = msgspec.json.Decoder(InitializeAnswer).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode


def initialize_request(protocol: str) -> bytes:
    client = {"name": "c100k-loadgen", "version": VERSION}
    params = {"protocolVersion": protocol, "capabilities": {}, "clientInfo": client}
    return _line({"jsonrpc": "2.0", "id": INITIALIZE_ID, "method": "initialize", "params": params})


def reply_to(request_id: int | str, method: str) -> bytes:
    """The answer to a request of the server: this client has no capability but to be pinged."""
    if method == "ping":
        return _line({"jsonrpc": "2.0", "id": request_id, "result": {}})
    error = {"code": _METHOD_NOT_FOUND, "message": f"Method not found: {method}"}
    return _line({"jsonrpc": "2.0", "id": request_id, "error": error})


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"


class EchoCall:
    """`tools/call` of `echo`; its text has exactly `payload_bytes` and follows from the id, so it can be checked."""

    __slots__ = ("_filler", "_payload_bytes")

    def __init__(self, payload_bytes: int) -> None:
        letters = string.ascii_lowercase
        self._filler = "-" + (letters * (payload_bytes // len(letters) + 1))[:payload_bytes]
        self._payload_bytes = payload_bytes

    def message(self, request_id: int) -> tuple[bytes, str]:
        """The request as a line, and the text that it asks to have back."""
        text = f"{request_id}{self._filler}"[: self._payload_bytes]
        # Written by hand: nothing in it needs escaping, and this takes a third of the time of encoding a dictionary.
        line = (
            f'{{"jsonrpc":"2.0","id":{request_id},"method":"tools/call",'
            f'"params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}\n'
        )
        return line.encode("ascii"), text

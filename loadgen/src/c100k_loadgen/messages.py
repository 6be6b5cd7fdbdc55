"""The MCP messages of both eras as JSON-RPC 2.0: sessions (2025-11-25 and its elders) and stateless (2026-07-28).

Each ends with a newline, which the framing over TCP needs and JSON in an HTTP body allows.
"""

from __future__ import annotations

import functools
from typing import Any, Literal

import msgspec

from c100k_loadgen.version import VERSION

#: The revisions with a handshake and sessions, and the one without.
SESSION_REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
STATELESS_REVISION = "2026-07-28"

#: The first request of a connection has the id 0, as the official TypeScript SDK begins; calls count from 1.
FIRST_ID = 0
#: The id of `resources/subscribe`, which comes between the handshake and the first call.
SUBSCRIBE_ID = -1

INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n'
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
RESOURCE_UPDATED = "notifications/resources/updated"
#: A server that cannot use the state of its sessions now asks their clients to go elsewhere, and tells them when it can
#: again.
UNAVAILABLE = "notifications/c100k/unavailable"
AVAILABLE = "notifications/c100k/available"

#: Errors of servers whose sessions outlive connections: the session is not there (any more); the state cannot be used
#: now; the session is elsewhere by now.
SESSION_NOT_FOUND = -32004
STATE_UNAVAILABLE = -32010
SESSION_MOVED = -32011

_METHOD_NOT_FOUND = -32601
_CLIENT = {"name": "c100k-loadgen", "version": VERSION}
#: What every request of the stateless era carries.
STATELESS_META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS_REVISION,
    "io.modelcontextprotocol/clientInfo": _CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Content(msgspec.Struct, gc=False):
    text: str | None = None


class CallResult(msgspec.Struct, gc=False):
    content: list[Content]
    isError: bool = False


class Message(msgspec.Struct, gc=False):
    """A message from the server to one that calls: the answer to a call, or a request or notification of its own."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    result: CallResult | None = None
    error: Any = None


class RetryAfter(msgspec.Struct):
    retryAfterMs: float = 0.0


class Failure(msgspec.Struct):
    code: int
    data: Any = None

    @property
    def retry_after_s(self) -> float:
        """How long the server asks to wait before the next attempt."""
        try:
            return msgspec.convert(self.data, RetryAfter).retryAfterMs / 1000
        except msgspec.ValidationError:
            return 0.0


class Position(msgspec.Struct, rename={"session_id": "c100k/sessionId", "event_id": "c100k/eventId"}):
    """Who and how far a session is, as the server tells it in `_meta`."""

    session_id: str | None = None
    event_id: str | None = None


class Positioned(msgspec.Struct, rename={"meta": "_meta"}):
    meta: Position | None = None


class Count(msgspec.Struct, gc=False):
    """What `increment` and `read` answer: the last operation on the session's counter, and the counter."""

    operation: int
    n: int


class CountResult(msgspec.Struct, gc=False):
    content: list[Content]
    isError: bool = False
    structuredContent: Count | None = None


class SessionMessage(msgspec.Struct, gc=False):
    """A message from the server to a session that outlives its connection."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    params: Positioned | None = None
    result: CountResult | None = None
    error: Failure | None = None


class SessionResult(msgspec.Struct, rename={"meta": "_meta"}):
    """The result of `initialize` or `c100k/resume`."""

    protocolVersion: str
    meta: Position | None = None
    eventId: str | None = None
    missed: int = 0


class SessionAnswer(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    result: SessionResult | None = None
    error: Failure | None = None


class InitializeResult(msgspec.Struct):
    protocolVersion: str
    capabilities: dict[str, Any]
    serverInfo: dict[str, Any]


class InitializeAnswer(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    result: InitializeResult | None = None


class DiscoverResult(msgspec.Struct):
    supportedVersions: list[str]
    capabilities: dict[str, Any]


class DiscoverAnswer(msgspec.Struct):
    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    result: DiscoverResult | None = None


class Changed(msgspec.Struct):
    uri: str | None = None


class Notification(msgspec.Struct):
    """What comes on a stream: a notification, or with an id a request of the server or its last word."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    params: Changed | None = None


class Envelope(msgspec.Struct):
    """Any JSON-RPC message, for one whose contents do not matter, or are not what they should be."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    error: Any = None


decode_message = msgspec.json.Decoder(Message).decode
decode_session_message = msgspec.json.Decoder(SessionMessage).decode
decode_session_answer = msgspec.json.Decoder(SessionAnswer).decode
decode_initialize = msgspec.json.Decoder(InitializeAnswer).decode
decode_discover = msgspec.json.Decoder(DiscoverAnswer).decode
decode_notification = msgspec.json.Decoder(Notification).decode
decode_envelope = msgspec.json.Decoder(Envelope).decode


@functools.cache
def initialize_request(protocol: str, *, resumable: bool = False) -> bytes:
    """A `resumable` session asks to outlive its connection."""
    capabilities: dict[str, Any] = {"experimental": {"c100k/resume": {}}} if resumable else {}
    params = {"protocolVersion": protocol, "capabilities": capabilities, "clientInfo": _CLIENT}
    return _request(FIRST_ID, "initialize", params)


def resume_request(session_id: str, last_event_id: str) -> bytes:
    return _request(FIRST_ID, "c100k/resume", {"sessionId": session_id, "lastEventId": last_event_id})


def ping_request(request_id: int) -> bytes:
    return _line({"jsonrpc": "2.0", "id": request_id, "method": "ping"})


def increment_request(request_id: int, operation: int) -> bytes:
    """Count one up, once for each `operation`."""
    # Written by hand, as an echo is.
    return (
        f'{{"jsonrpc":"2.0","id":{request_id},"method":"tools/call",'
        f'"params":{{"name":"increment","arguments":{{"operation":{operation}}}}}}}\n'
    ).encode("ascii")


def read_request(request_id: int) -> bytes:
    """Ask for the session's counter."""
    return _request(request_id, "tools/call", {"name": "read", "arguments": {}})


def accepts(answer: InitializeAnswer, protocol: str) -> bool:
    """Whether this opens a session of `protocol`."""
    return answer.id == FIRST_ID and answer.result is not None and answer.result.protocolVersion == protocol


def subscribe_request(uri: str) -> bytes:
    return _request(SUBSCRIBE_ID, "resources/subscribe", {"uri": uri})


def discover_request() -> bytes:
    return _request(FIRST_ID, "server/discover", {"_meta": STATELESS_META})


def tools_request(cursor: str | None) -> bytes:
    """Ask for the tools, in the stateless era; `cursor` is what the page before has said of the next."""
    return _request(FIRST_ID, "tools/list", {**({} if cursor is None else {"cursor": cursor}), "_meta": STATELESS_META})


def listen_request(uri: str | None) -> bytes:
    """Listen to the resource `uri`, or to changes of the list of tools, which every server has."""
    wanted: dict[str, Any] = {"toolsListChanged": True} if uri is None else {"resourceSubscriptions": [uri]}
    return _request(FIRST_ID, "subscriptions/listen", {"notifications": wanted, "_meta": STATELESS_META})


def publish_request(request_id: int, tool: str, *, stateless: bool) -> bytes:
    """The call of `tool`, which needs no arguments, to make a resource change."""
    params = {"name": tool, "arguments": {}, **({"_meta": STATELESS_META} if stateless else {})}
    return _request(request_id, "tools/call", params)


def reply_to(request_id: int | str, method: str) -> bytes:
    """The answer to a request of the server: this client has no capability but to be pinged."""
    if method == "ping":
        return _line({"jsonrpc": "2.0", "id": request_id, "result": {}})
    error = {"code": _METHOD_NOT_FOUND, "message": f"Method not found: {method}"}
    return _line({"jsonrpc": "2.0", "id": request_id, "error": error})


def _request(request_id: int, method: str, params: dict[str, Any]) -> bytes:
    return _line({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def _line(message: dict[str, Any]) -> bytes:
    return msgspec.json.encode(message) + b"\n"

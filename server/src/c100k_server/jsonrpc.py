"""JSON-RPC 2.0 messages: https://www.jsonrpc.org/specification."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603

# Of MCP: https://modelcontextprotocol.io/specification/2026-07-28/basic. RESOURCE_NOT_FOUND is that of the elder
# revisions, which 2026-07-28 replaced by INVALID_PARAMS.
RESOURCE_NOT_FOUND = -32002
HEADER_MISMATCH = -32020
MISSING_CLIENT_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
# Ours, from the range that JSON-RPC leaves to implementations: the peer has too much in flight.
BUSY = -32000
# Of sessions that outlive a connection: there is none such; Redis is away; another node has it. The last two can be
# asked again.
SESSION_NOT_FOUND = -32004
STATE_UNAVAILABLE = -32010
SESSION_MOVED = -32011
# Of names: another session has it; nobody has it.
NAME_TAKEN = -32005
NAME_NOT_FOUND = -32006

# MCP allows strings and integers, never null.
RequestId: TypeAlias = int | str


class Call(msgspec.Struct, gc=False):
    """A request, or a notification when it has no `id`. Its `params` are decoded by whoever knows the method."""

    jsonrpc: Literal["2.0"]
    method: str
    id: RequestId | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"{}")


class ErrorObject(msgspec.Struct, omit_defaults=True):
    code: int
    message: str
    data: Any = None


class ErrorAnswer(msgspec.Struct):
    jsonrpc: str
    id: RequestId | None
    error: ErrorObject


class RequestError(Exception):
    """A request that is answered with an error."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(f"{code}: {message}")


encode = msgspec.json.Encoder().encode
decode_call = msgspec.json.Decoder(Call).decode
decode_any = msgspec.json.Decoder().decode
decode_batch = msgspec.json.Decoder(list[msgspec.Raw]).decode


def result_line(request_id: RequestId, result: bytes) -> bytes:
    """The line that answers a request with an encoded `result`."""
    if type(request_id) is int:
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}\n' % (request_id, result)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (encode(request_id), result)


def error_line(request_id: RequestId | None, code: int, message: str, data: object = None) -> bytes:
    """The line that answers with an error; `request_id` is None when the request's own could not be read."""
    return encode(ErrorAnswer("2.0", request_id, ErrorObject(code, message, data))) + b"\n"


def notification_line(method: str, params: object) -> bytes:
    """The line of a notification."""
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}\n' % (encode(method), encode(params))


def request_line(request_id: RequestId, method: str, params: object) -> bytes:
    """The line of a request to the client."""
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}\n' % (
        encode(request_id),
        encode(method),
        encode(params),
    )


def readable_id(message: dict[str, Any]) -> RequestId | None:
    """The id of a message that is no valid call, if it has one that can be answered to."""
    found = message.get("id")
    return found if isinstance(found, int | str) and not isinstance(found, bool) else None

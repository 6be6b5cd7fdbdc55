"""The Model Context Protocol, revisions 2024-11-05 to 2025-11-25, whatever carries it: a message in, an answer out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from c100k_server import __version__
from c100k_server.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RequestError,
    RequestId,
    decode_any,
    decode_batch,
    decode_call,
    encode,
    error_line,
    readable_id,
    result_line,
)
from c100k_server.statistics import ERRORS, RECEIVED, SENT
from c100k_server.tools import Tool

PROTOCOL_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST_VERSION = PROTOCOL_VERSIONS[-1]
# The only revision with JSON-RPC batches, which it requires servers to accept.
BATCH_VERSION = "2025-03-26"

# A client that writes no JSON so often will not start to: an HTTP client on the wrong port, a broken framing.
UNREADABLE_MAX = 16


class UnreadableMessagesError(Exception):
    """The peer has sent `UNREADABLE_MAX` lines that are not JSON; `answer` is the last it gets."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        super().__init__(f"{UNREADABLE_MAX} lines were not JSON")


class _InitializeParams(msgspec.Struct, rename="camel"):
    protocol_version: str


class _ListParams(msgspec.Struct):
    cursor: str | None = None


class _CallParams(msgspec.Struct, gc=False):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


_decode_initialize_params = msgspec.json.Decoder(_InitializeParams).decode
_decode_list_params = msgspec.json.Decoder(_ListParams).decode
_decode_call_params = msgspec.json.Decoder(_CallParams).decode


class Service:
    """What all sessions of a worker have in common: its tools, and the row of figures it counts messages in."""

    __slots__ = ("figures", "tools", "tools_list", "welcome")

    def __init__(self, tools: Sequence[Tool], figures: memoryview) -> None:
        self.figures = figures
        self.tools = {tool.name: tool for tool in tools}
        self.tools_list = encode(
            {
                "tools": [
                    {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
                    for tool in tools
                ]
            }
        )
        self.welcome = {
            version: encode(
                {
                    "protocolVersion": version,
                    "capabilities": {"tools": {}},
                    "serverInfo": {"name": "c100k-server", "version": __version__},
                }
            )
            for version in PROTOCOL_VERSIONS
        }


class Session:
    """One client's session. `version` is None until it has initialized."""

    __slots__ = ("_service", "_unreadable", "version")

    def __init__(self, service: Service) -> None:
        self._service = service
        self._unreadable = 0
        self.version: str | None = None

    def handle(self, line: bytes) -> bytes | None:
        """Answer one message, given and returned as a line of JSON; None where no answer is due.

        Raises `UnreadableMessagesError` when the client should be given up.
        """
        service = self._service
        try:
            call = decode_call(line)
        except (ValueError, RecursionError) as error:
            return self._handle_unusual(line, error)
        service.figures[RECEIVED] += 1
        request_id = call.id
        if request_id is msgspec.UNSET:
            # A notification. None of those that clients send asks anything of this server so far.
            return None
        method = _METHODS.get(call.method)
        if method is None:
            return self._error(request_id, METHOD_NOT_FOUND, f"there is no method {call.method!r}")
        if self.version is None and method is not _ping and method is not _initialize:
            return self._error(request_id, INVALID_REQUEST, f"initialize first, then call {call.method}")
        try:
            result = method(self, service, call.params)
        except msgspec.ValidationError as error:
            return self._error(request_id, INVALID_PARAMS, f"{call.method}: {error}")
        except RequestError as error:
            return self._error(request_id, error.code, error.message)
        except (ValueError, RecursionError) as error:
            # Text that is no UTF-8 or nested without end is met here when it is inside the params.
            return self._error(request_id, PARSE_ERROR, f"not JSON: {error}")
        service.figures[SENT] += 1
        return result_line(request_id, result)

    def refuse_oversize(self, max_line_bytes: int) -> bytes:
        """The answer to a message that is too long to be read."""
        self._service.figures[RECEIVED] += 1
        return self._error(None, INVALID_REQUEST, f"a message is longer than {max_line_bytes} bytes; closing")

    def _handle_unusual(self, line: bytes, error: Exception) -> bytes | None:
        if not line.strip():
            return None
        try:
            message = decode_any(line)
        except (ValueError, RecursionError):
            return self._refuse_unreadable(error)
        if isinstance(message, list) and message and self.version == BATCH_VERSION:
            return self._handle_batch(line)
        self._service.figures[RECEIVED] += 1
        if not isinstance(message, dict):
            return self._error(None, INVALID_REQUEST, "a message must be one JSON object")
        if "method" not in message and ("result" in message or "error" in message):
            # An answer, though this server has asked nothing. Answers are never answered.
            return None
        return self._error(readable_id(message), INVALID_REQUEST, f"not a JSON-RPC 2.0 request: {error}")

    def _handle_batch(self, line: bytes) -> bytes | None:
        answers = []
        for item in decode_batch(line):
            message = bytes(item)
            if message.startswith(b"["):
                self._service.figures[RECEIVED] += 1
                answers.append(self._error(None, INVALID_REQUEST, "a batch must not hold a batch"))
            elif answer := self.handle(message):
                answers.append(answer)
        return b"[" + b",".join(answer.rstrip(b"\n") for answer in answers) + b"]\n" if answers else None

    def _refuse_unreadable(self, error: Exception) -> bytes:
        self._service.figures[RECEIVED] += 1
        self._unreadable += 1
        answer = self._error(None, PARSE_ERROR, f"not JSON: {error}")
        if self._unreadable == UNREADABLE_MAX:
            raise UnreadableMessagesError(answer)
        return answer

    def _error(self, request_id: RequestId | None, code: int, message: str) -> bytes:
        figures = self._service.figures
        figures[ERRORS] += 1
        figures[SENT] += 1
        return error_line(request_id, code, message)


def _initialize(session: Session, service: Service, params: msgspec.Raw) -> bytes:
    if session.version is not None:
        raise RequestError(INVALID_REQUEST, "this session is initialized already")
    wanted = _decode_initialize_params(params).protocol_version
    session.version = wanted if wanted in service.welcome else LATEST_VERSION
    return service.welcome[session.version]


def _ping(session: Session, service: Service, params: msgspec.Raw) -> bytes:
    return b"{}"


def _tools_list(session: Session, service: Service, params: msgspec.Raw) -> bytes:
    if _decode_list_params(params).cursor is not None:
        raise RequestError(INVALID_PARAMS, "tools/list: there is no such cursor, the list has one page")
    return service.tools_list


def _tools_call(session: Session, service: Service, params: msgspec.Raw) -> bytes:
    call = _decode_call_params(params)
    tool = service.tools.get(call.name)
    if tool is None:
        raise RequestError(INVALID_PARAMS, f"tools/call: there is no tool {call.name!r}")
    return tool.call(call.arguments)


_METHODS: dict[str, Callable[[Session, Service, msgspec.Raw], bytes]] = {
    "initialize": _initialize,
    "ping": _ping,
    "tools/list": _tools_list,
    "tools/call": _tools_call,
}

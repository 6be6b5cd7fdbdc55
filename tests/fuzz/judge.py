"""What every answer of the server is held against: JSON-RPC 2.0 and HTTP/1.1, read by parsers that are not its own."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NamedTuple

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([^\r\n\0]*)")
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [A-Za-z ]+")


class Finding(AssertionError):
    """The server did what it must not."""


class Response(NamedTuple):
    """One HTTP response; `messages` are those of its body, and `whole` is False while its stream goes on."""

    status: int
    headers: dict[str, str]
    messages: list[Any]
    whole: bool
    head_only: bool


def require(condition: object, sentence: str, *facts: object) -> None:
    if not condition:
        raise Finding(f"{sentence}: {', '.join(map(repr, facts))}" if facts else sentence)


def read_json(text: bytes) -> Any:
    """Strict JSON: neither NaN nor text that is not UTF-8."""
    return json.loads(text.decode(), parse_constant=_refuse)


def check_message(message: Any) -> None:
    """One message of the server: an answer, a notification, a request, or a batch of answers."""
    if isinstance(message, list):
        require(message, "an empty batch")
        for each in message:
            require(isinstance(each, dict) and "method" not in each, "a batch holds more than answers", message)
            check_message(each)
        return
    require(isinstance(message, dict) and message.get("jsonrpc") == "2.0", "no JSON-RPC 2.0", message)
    if "method" in message:
        require(isinstance(message["method"], str), "a method that is no text", message)
        require(isinstance(message.get("params"), dict), "params that are no object", message)
        require(message.keys() <= {"jsonrpc", "id", "method", "params"}, "unknown members", message)
        require("id" not in message or isinstance(message["id"], str), "an id of ours that is no text", message)
        return
    require(message.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"}), "no answer", message)
    if "error" in message:
        error = message["error"]
        require(isinstance(error["code"], int) and isinstance(error["message"], str), "no error object", message)
        require(message["error"]["code"] != -32603 or "as it should" in error["message"], "internal error", message)
    else:
        require(isinstance(message["result"], dict), "a result that is no object", message)
        require(message["id"] is not None, "a result for nobody", message)


def read_lines(received: bytes) -> list[Any]:
    """The messages that came over a connection that has ended."""
    require(not received or received.endswith(b"\n"), "the last line is cut off", received[-80:])
    messages = [read_json(line) for line in received.split(b"\n")[:-1]]
    for message in messages:
        check_message(message)
    return messages


def answers(messages: list[Any]) -> list[dict[str, Any]]:
    """The answers among messages, those in batches too."""
    flat = (each for message in messages for each in (message if isinstance(message, list) else [message]))
    return [each for each in flat if "method" not in each]


def requests_in(lines: list[bytes]) -> Counter[str]:
    """The ids, as JSON, of the requests in lines that everybody would call valid. Batches and edge cases of JSON,
    in which parsers may differ, are left out."""
    found: Counter[str] = Counter()
    for line in lines:
        try:
            message = read_json(line)
            encoded = json.dumps(message)
        except (ValueError, RecursionError):
            continue
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or "\\ud" in encoded:
            continue
        request_id = message.get("id")
        if isinstance(message.get("method"), str) and type(request_id) in (int, str) and len(str(request_id)) < 400:
            found[json.dumps(request_id)] += 1
    return found


def read_responses(received: bytes, *, heads: list[bool]) -> list[Response]:
    """The HTTP responses of a connection, of which the last may be a stream that goes on; `heads` says which of the
    requests, as far as they are known, were HEAD."""
    responses: list[Response] = []
    while received:
        require(not responses or responses[-1].whole, "bytes after a response that goes on", received[:80])
        head, separator, rest = received.partition(b"\r\n\r\n")
        require(separator, "a head that does not end", received[:200])
        status_line, *lines = head.split(b"\r\n")
        matched = _STATUS.fullmatch(status_line)
        require(matched, "no status line", status_line[:200])
        assert matched is not None
        status, headers = int(matched[1]), dict[str, str]()
        for line in lines:
            field = _HEADER.fullmatch(line)
            require(field, "no header", line)
            assert field is not None
            name = field[1].decode().lower()
            require(name not in headers, "a header twice", head)
            headers[name] = field[2].decode("latin-1")
        if status == 100:
            received = rest
            continue
        head_only = len(responses) < len(heads) and heads[len(responses)]
        body, received, whole = (b"", rest, True) if head_only else _body(headers, rest)
        require(whole or headers.get("content-type") == "text/event-stream", "a body cut off", rest[:200])
        responses.append(Response(status, headers, [] if head_only else _messages(headers, body), whole, head_only))
    return responses


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes, bool]:
    if "transfer-encoding" not in headers:
        length = int(headers["content-length"])
        return rest[:length], rest[length:], len(rest) >= length
    require(headers["transfer-encoding"] == "chunked" and "content-length" not in headers, "framing", headers)
    body = b""
    while rest:
        size, _, after = rest.partition(b"\r\n")
        length = int(size, 16)
        if len(after) < length + 2:
            return body, b"", False
        require(after[length : length + 2] == b"\r\n", "a chunk that does not end", rest[:80])
        body, rest = body + after[:length], after[length + 2 :]
        if length == 0:
            return body, rest, True
    return body, b"", False


def _messages(headers: dict[str, str], body: bytes) -> list[Any]:
    if headers.get("content-type") == "application/json":
        require(body.endswith(b"\n") and b"\n" not in body[:-1], "a body that is not one line", body)
        found = [read_json(body)]
    elif headers.get("content-type") == "text/event-stream":
        found = []
        for event in body.split(b"\n\n")[:-1]:
            lines = event.split(b"\n")
            fields = [line.partition(b": ")[0] for line in lines if not line.startswith(b":")]
            require(set(fields) <= {b"id", b"retry", b"data"} and len(fields) == len(set(fields)), "no event", event)
            data = [line[6:] for line in lines if line.startswith(b"data: ")]
            found += [read_json(each) for each in data if each]
    else:
        require(not body, "a body without a type", headers, body)
        found = []
    for message in found:
        check_message(message)
    return found


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")

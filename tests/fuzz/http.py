"""Input door: Streamable HTTP, of both eras."""

from __future__ import annotations

import json
import random
import re
import zlib
from typing import Any

from c100k_server.http_connection import HttpConnection
from c100k_server.statistics import HTTP_REQUESTS
from fuzz import seeds
from fuzz.bench import (
    ANOTHER,
    DRAIN,
    INSTRUCTIONS,
    PUBLISH,
    READ_AGAIN,
    RESET,
    SETTLE,
    STOP_READING,
    TIME_PASSES,
    Bench,
    Outcome,
    cutting,
    whole,
)
from fuzz.judge import Response, answers, read_responses, require
from fuzz.mutation import mutate_message

# A client knows its session only when it has it: in inputs these bytes stand for its id.
SESSION_ID = b"0-" + b"5e551011" * 4
_DISTURBING = (STOP_READING, TIME_PASSES, DRAIN, RESET, PUBLISH, ANOTHER)
# What the server may close a connection under when the client does nothing but send and close.
_REFUSED = ("malformed", "oversize")
_STATUSES = {200, 202, 204, 400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 421, 429, 431, 503}
_REQUEST_LINE = re.compile(rb"(?=(?:POST|GET|DELETE|HEAD|PUT|OPTIONS) /[^ \r\n]* HTTP/1\.[01]\r\n)")
_STRICT_HEAD = re.compile(
    rb"(GET|POST|DELETE|HEAD|PUT|OPTIONS) /[!-~]* HTTP/1\.1\r\n((?:[A-Za-z-]+: ?[!-~][ -~]*\r\n)*)\r\n"
)
_LENGTH = re.compile(rb"(?i)(content-length: ?)(\d+)")


def check(bench: Bench, data: bytes) -> None:
    """Raises `Finding`."""
    outcome = _play(bench, data, in_segments=False)
    methods = _methods(data)
    if (methods is None and b"HEAD" in data) or RESET in data:
        return
    disturbed = any(each in data for each in _DISTURBING)
    seen = [_read(received, outcome, methods, disturbed=disturbed) for received in outcome.received]
    if disturbed or "reset" in outcome.causes:
        return
    (cause,), (responses,) = outcome.causes, seen
    refused = cause in _REFUSED
    require(cause in ("peer", "done", *_REFUSED), "an unexpected cause", cause)
    # What is refused behind an answer that is under way ends the connection, and it without an answer.
    expected = outcome.figures[HTTP_REQUESTS]
    require(
        expected - refused <= len(responses) <= expected + refused,
        "not one response each",
        len(responses),
        expected,
        cause,
    )
    if methods is not None:
        require(len(responses) <= len(methods), "more responses than requests", len(responses), methods)
    for response in responses:
        for answer in answers(response.messages):
            mentioned = answer["id"] is None or not isinstance(answer["id"], int) or str(answer["id"]).encode() in data
            require(mentioned, "an answer that nobody asked for", answer)
    if b"task" in data:
        # Tasks have ids of their own, and times.
        return
    again = _play(bench, data, in_segments=True)
    if "reset" in again.causes:
        return
    require(again.causes == outcome.causes, "segments change the cause", outcome.causes, again.causes)
    first, second = _comparable(responses), _comparable(_read(again.received[0], again, methods, disturbed=False))
    if refused:
        # How many answers were still under way, which a refusal behind them ends, may differ.
        count = max(min(len(first), len(second)) - 1, 0)
        first, second = first[:count], second[:count]
    require(first == second, "segments change the answers", first, second)


def _play(bench: Bench, data: bytes, *, in_segments: bool) -> Outcome:
    cut = cutting(zlib.crc32(data)) if in_segments else whole
    if SESSION_ID in data:
        session = bench.http.sessions.open(None)
        assert session is not None
        session.session.handle(seeds.initialize(), session)
        assert session.session.id is not None
        data = data.replace(SESSION_ID, session.session.id.encode())
    return bench.play(bench.http, lambda: HttpConnection(bench.http), data, cut)


def _read(received: bytes, outcome: Outcome, methods: list[bytes] | None, *, disturbed: bool) -> list[Response]:
    if {"slow_reader", "reset", "slow_request", "drain"} & set(outcome.causes):
        return []
    responses = read_responses(received, heads=[] if disturbed else [method == b"HEAD" for method in methods or ()])
    for response in responses:
        require(response.status in _STATUSES, "an unknown status", response)
        if response.status >= 400:
            reasons = [each for each in answers(response.messages) if "error" in each]
            require(len(reasons) == 1 or response.head_only, "a refusal without its reason", response)
    return responses


def _methods(data: bytes) -> list[bytes] | None:
    """The methods of the requests in an input that leaves nothing to interpretation; None for any other."""
    if INSTRUCTIONS.search(data.replace(SETTLE, b"")):
        return None
    rest, found = data.replace(SETTLE, b""), []
    while rest:
        matched = _STRICT_HEAD.match(rest)
        if matched is None:
            return None
        fields = [line.partition(b":") for line in matched[2].split(b"\r\n")[:-1]]
        names = [name.lower() for name, _, _ in fields]
        lengths = [value.strip() for name, _, value in fields if name.lower() == b"content-length"]
        if len(lengths) > 1 or b"transfer-encoding" in names or (lengths and not lengths[0].isdigit()):
            return None
        end = matched.end() + (int(lengths[0][:9]) if lengths else 0)
        if len(rest) < end:
            return None
        found.append(matched[1])
        rest = rest[end:]
    return found


def _comparable(responses: list[Response]) -> list[Any]:
    """Without what differs each time."""
    found = []
    for status, _, messages, is_whole, _ in responses:
        for message in messages:
            if isinstance(message, dict) and isinstance(message.get("result"), dict):
                message["result"].pop("requestState", None)
        found.append((status, is_whole, json.dumps(messages, sort_keys=True)))
    return found


def post(body: bytes, *headers: str) -> bytes:
    fields = ["Host: localhost", "Content-Type: application/json", "Accept: application/json, text/event-stream"]
    head = "\r\n".join(["POST /mcp HTTP/1.1", *fields, *headers, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


def bodiless(method: str, *headers: str, path: str = "/mcp") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost:8000", *headers, "", ""]).encode()


def http_seeds() -> list[bytes]:
    session = f"Mcp-Session-Id: {SESSION_ID.decode()}"
    version = "MCP-Protocol-Version: 2025-11-25"
    found = [b"", b"\r\n", b"not HTTP\r\n\r\n", post(seeds.initialize()), post(b"{}"), post(b"not JSON"), post(b"[]")]
    for method, params in seeds.CALLS + seeds.SESSION_CALLS:
        found.append(post(seeds.request(method, {**params, "_meta": {"progressToken": 1}}), session, version) + SETTLE)
    for method, params in seeds.CALLS + seeds.STATELESS_CALLS:
        found.append(post_stateless(method, params) + SETTLE + PUBLISH + SETTLE)
        found.append(post_stateless(method, params))
    for _, params in seeds.RETRIES:
        found.append(post_stateless("tools/call", params) + SETTLE)
    listening = bodiless("GET", session, version, "Accept: text/event-stream") + SETTLE
    for name, told in seeds.QUESTIONS:
        asked = post(seeds.request("tools/call", {"name": name}), session, version) + SETTLE
        found.append(asked + ANOTHER + b"".join(post(each, session, version) + SETTLE for each in told))
        found.append(asked + ANOTHER + post(seeds.encoded(seeds.cancelled(1)), session, version) + SETTLE)
    reconnect = post(seeds.request("tools/call", {"name": "reconnect"}), session, version)
    steps = post(seeds.request("tools/call", {"name": "steps"}), session, version)
    subscribe = post(seeds.request("resources/subscribe", {"uri": "test://static"}), session, version)
    echo = post(seeds.request("tools/call", {"name": "echo", "arguments": {"text": "x" * 1500}}), session, version)
    chunked = post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    hello = seeds.initialize()
    return [
        *found,
        listening + PUBLISH + SETTLE,
        subscribe + listening + PUBLISH + SETTLE + TIME_PASSES,
        listening + ANOTHER + subscribe + PUBLISH + SETTLE + ANOTHER + bodiless("DELETE", session) + SETTLE,
        reconnect + SETTLE + bodiless("GET", session, version, "Last-Event-ID: 2-0", "Accept: text/event-stream"),
        steps + ANOTHER + bodiless("GET", session, version, "Last-Event-ID: 2-1") + SETTLE,
        steps + RESET,
        steps + DRAIN + SETTLE,
        steps * 12 + SETTLE,
        STOP_READING + echo * 12 + SETTLE + TIME_PASSES,
        STOP_READING + echo * 12 + SETTLE + READ_AGAIN + SETTLE,
        bodiless("DELETE", session) + bodiless("DELETE", session),
        bodiless("HEAD") + bodiless("GET", path="/"),
        bodiless("OPTIONS", "Origin: http://evil.example"),
        bodiless("GET", "Upgrade: websocket", "Connection: Upgrade"),
        post(hello, "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"),
        post(hello, "Expect: 100-continue"),
        post(hello, "Connection: close") + post(hello),
        post(hello, "Origin: http://localhost:8000"),
        post(hello).replace(b"localhost", b"evil.example"),
        post(hello).replace(b"HTTP/1.1", b"HTTP/1.0"),
        post(hello, "X: " + "y" * 2100),
        bodiless("GET", path="/" + "x" * 5000),
        chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(hello), hello),
        chunked
        + b"5;a=b\r\n%b\r\n%x\r\n%b\r\n0\r\nMcp-Session-Id: %b\r\n\r\n"
        % (hello[:5], len(hello) - 5, hello[5:], SESSION_ID),
        post(b" " * 9000),
        post(hello)[:100] + SETTLE + TIME_PASSES,
        TIME_PASSES,
    ]


def post_stateless(method: str, params: dict[str, Any]) -> bytes:
    headers = ["MCP-Protocol-Version: 2026-07-28", f"Mcp-Method: {method}"]
    if subject := params.get("name", params.get("uri", params.get("taskId"))):
        headers.append(f"Mcp-Name: {subject}")
    if params.get("name") == "region":
        headers += ["Mcp-Param-Region: eu", "Mcp-Param-Count: =?base64?Mg==?="]
    return post(seeds.request(method, seeds.stateless(params), "s"), *headers)


def http_words() -> list[bytes]:
    names = (
        "Host Origin Accept Content-Type Content-Length Transfer-Encoding Connection Upgrade Expect Authorization"
        " Mcp-Session-Id MCP-Protocol-Version Mcp-Method Mcp-Name Mcp-Param-Region Last-Event-ID"
    )
    fields = [name.encode() + b": " for name in names.split()]
    values = (
        b"chunked close keep-alive 100-continue text/event-stream */* 2025-11-25 2026-07-28 0-1 =?base64? ?=".split()
    )
    lines = [
        b"\r\n",
        b"\r\n\r\n",
        b"0\r\n\r\n",
        b"GET /mcp HTTP/1.1\r\n",
        b"HEAD ",
        b"DELETE ",
        b"CONNECT ",
        b"PRI * HTTP/2.0\r\n\r\n",
    ]
    return seeds.words() + fields + values + lines + [ANOTHER, SESSION_ID]


def mutate_request(data: bytes, chance: random.Random) -> bytes:
    """Change a message, or copy, drop or double a header or a request."""
    if chance.random() < 0.7:
        return mutate_message(data, chance)
    parts = data.split(b"\r\n") if chance.random() < 0.7 else _REQUEST_LINE.split(data)
    separator = b"\r\n" if b"\r\n".join(parts) == data else b""
    position, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    parts[position : position + 1] = chance.choice(
        ([], [parts[position]] * 2, [parts[other]], [parts[other], parts[position]])
    )
    return separator.join(parts)


def repair(data: bytes, chance: random.Random) -> bytes:
    """Make lengths and the headers that repeat the body true again, most of the time."""
    if chance.random() < 0.15:
        return data
    return b"".join(
        piece if INSTRUCTIONS.fullmatch(piece) else b"".join(_repaired(each) for each in _REQUEST_LINE.split(piece))
        for piece in INSTRUCTIONS.split(data)
    )


def _repaired(request: bytes) -> bytes:
    head, separator, body = request.partition(b"\r\n\r\n")
    head = _LENGTH.sub(lambda found: found[1] + b"%d" % len(body), head)
    try:
        message = json.loads(body)
        params = message.get("params", {})
        subject = params.get("name", params.get("uri"))
        for name, value in ((b"Mcp-Method", message["method"]), (b"Mcp-Name", subject)):
            if isinstance(value, str) and value.isprintable():
                head = re.sub(rb"(?i)%b: [^\r]*" % name, b"%b: %b" % (name, value.encode().replace(b"\\", b"")), head)
    except (ValueError, RecursionError, AttributeError, KeyError):
        return head + separator + body
    return head + separator + body

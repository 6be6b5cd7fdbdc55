"""Real requests to start from: each kind of each era, so that mutation begins deep inside the server."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from typing import Any

import msgspec

from c100k_server.request_state import binding
from c100k_server.versions import BATCH_VERSION, LATEST_SESSION_VERSION, SESSION_VERSIONS, STATELESS_VERSION
from fuzz.bench import DRAIN, LIMITS, PUBLISH, READ_AGAIN, RESET, SETTLE, STATE_KEY, STOP_READING, TIME_PASSES

CAPABILITIES: dict[str, Any] = {
    "elicitation": {},
    "sampling": {},
    "roots": {},
    "extensions": {"io.modelcontextprotocol/tasks": {}},
}
META = {
    "io.modelcontextprotocol/protocolVersion": STATELESS_VERSION,
    "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
    "io.modelcontextprotocol/logLevel": "debug",
    "progressToken": "p",
}
_FORM = {"action": "accept", "content": {"city": "Bern"}}
_MODEL = {"role": "assistant", "content": {"type": "text", "text": "Paris"}, "model": "m"}
_ROOTS = {"roots": [{"uri": "file:///r"}]}

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("tools/call", {"name": "echo", "arguments": {"text": "héllo"}}),
    ("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2.5, "more": [1, 2]}}),
    ("tools/call", {"name": "place", "arguments": {"where": {"city": "Bern", "days": 2}}}),
    ("tools/call", {"name": "inline_context", "arguments": {"text": "a"}}),
    ("tools/call", {"name": "thread", "arguments": {"text": "a"}}),
    ("tools/call", {"name": "thread_context", "arguments": {}}),
    *(
        ("tools/call", {"name": "content", "arguments": {"kind": kind}})
        for kind in ("image", "embedded", "several", "nothing", "other")
    ),
    ("tools/call", {"name": "steps", "arguments": {"count": 4}}),
    ("tools/call", {"name": "reconnect"}),
    ("tools/call", {"name": "change", "arguments": {}}),
    ("tools/call", {"name": "work", "task": {"ttl": 1000}}),
    ("tools/call", {"name": "fails"}),
    ("tools/call", {"name": "crashes"}),
    ("tools/call", {"name": "anything", "arguments": {"x": [1, {"y": None}]}}),
    ("tools/call", {"name": "region", "arguments": {"region": "eu", "count": 2}}),
    ("tools/call", {"name": "elicit"}),
    ("tools/call", {"name": "elicit_twice"}),
    ("tools/call", {"name": "sample", "arguments": {"prompt": "a"}}),
    ("tools/call", {"name": "roots"}),
    ("tools/call", {"name": "ask_all"}),
    ("tools/call", {"name": "unknown", "arguments": {}}),
    ("tools/list", {}),
    ("tools/list", {"cursor": "NA=="}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "simple"}),
    ("prompts/get", {"name": "review", "arguments": {"code": "x", "lines": "3"}}),
    ("prompts/get", {"name": "asking"}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "test://static"}),
    ("resources/read", {"uri": "test://binary"}),
    ("resources/read", {"uri": "test://item/12"}),
    ("resources/read", {"uri": "test://pair/a-b"}),
    (
        "completion/complete",
        {
            "ref": {"type": "ref/prompt", "name": "review"},
            "argument": {"name": "code", "value": "a"},
            "context": {"arguments": {"lines": "1"}},
        },
    ),
    (
        "completion/complete",
        {"ref": {"type": "ref/resource", "uri": "test://item/{number}"}, "argument": {"name": "number", "value": "1"}},
    ),
)
SESSION_CALLS = (
    ("ping", {}),
    ("tasks/list", {}),
    ("tasks/result", {"taskId": "0-1"}),
    ("logging/setLevel", {"level": "debug"}),
    ("resources/subscribe", {"uri": "test://static"}),
    ("resources/unsubscribe", {"uri": "test://static"}),
)
STATELESS_CALLS = (
    ("server/discover", {}),
    ("tasks/get", {"taskId": "0-1"}),
    (
        "subscriptions/listen",
        {"notifications": {"toolsListChanged": True, "resourceSubscriptions": ["test://static"]}},
    ),
)


def encoded(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()


def request(method: str, params: dict[str, Any], request_id: object = 1) -> bytes:
    return encoded({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def notification(method: str, params: dict[str, Any]) -> bytes:
    return encoded({"jsonrpc": "2.0", "method": method, "params": params})


def initialize(version: str = LATEST_SESSION_VERSION) -> bytes:
    information = {"name": "fuzz", "version": "0"}
    return request(
        "initialize", {"protocolVersion": version, "capabilities": CAPABILITIES, "clientInfo": information}, 0
    )


def stateless(params: dict[str, Any]) -> dict[str, Any]:
    return {**params, "_meta": META}


def state(method: str, name: str, arguments: object, answers: dict[str, Any]) -> str:
    """A requestState that never expires."""
    payload = msgspec.json.encode((1e11, binding(method, name, arguments), answers))
    return base64.urlsafe_b64encode(hmac.digest(STATE_KEY, payload, hashlib.sha256) + payload).decode()


def cancelled(request_id: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}


_ANSWERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("elicit", {"input1": _FORM}),
    ("elicit_twice", {"first": _FORM, "input1": {"action": "decline"}}),
    ("sample", {"input1": _MODEL}),
    ("roots", {"input1": _ROOTS}),
    ("ask_all", {"form": _FORM, "model": _MODEL, "roots": _ROOTS}),
)
# Tools that ask, and what a client of a session tells them; the last one refuses.
QUESTIONS = [
    (
        name,
        [encoded({"jsonrpc": "2.0", "id": f"server-{n}", "result": each}) for n, each in enumerate(given.values(), 1)],
    )
    for name, given in _ANSWERS
] + [("ask_all", [encoded({"jsonrpc": "2.0", "id": "server-2", "error": {"code": 1, "message": "no"}})])]
# The same in 2026-07-28: the call again, with the answers and a state that has the first of them.
RETRIES = [
    (
        name,
        {
            "name": name,
            "arguments": {},
            "inputResponses": given,
            "requestState": state("tools/call", name, {}, dict(itertools.islice(given.items(), 1))),
        },
    )
    for name, given in _ANSWERS
]


def line_seeds() -> list[bytes]:
    """For the doors that take a message a line."""
    hello = initialize() + b"\n" + notification("notifications/initialized", {}) + b"\n"
    reset_level = request("logging/setLevel", {"level": "debug"}, 9) + b"\n"
    progress = {"_meta": {"progressToken": 7}}
    seeds = [b"", b"\n", b"{}\n", b"[]\n", b"null\n", b"not JSON\n" * 17, initialize()[:40]]
    seeds += [initialize(version) + b"\n" for version in (*SESSION_VERSIONS, "1999-01-01")]
    for method, params in CALLS + SESSION_CALLS:
        seeds.append(hello + reset_level + request(method, {**params, **progress}) + b"\n" + SETTLE)
        seeds.append(request(method, stateless(params), "s") + b"\n" + SETTLE)
    seeds += [
        request(method, stateless(params)) + b"\n" + SETTLE + PUBLISH + SETTLE for method, params in STATELESS_CALLS
    ]
    for name, told in QUESTIONS:
        call = request("tools/call", {"name": name}) + b"\n" + SETTLE
        seeds.append(hello + call + b"".join(each + b"\n" + SETTLE for each in told))
        seeds.append(hello + call + encoded(cancelled(1)) + b"\n" + SETTLE)
    seeds += [request("tools/call", stateless(params)) + b"\n" + SETTLE for _, params in RETRIES]
    subscribe = request("resources/subscribe", {"uri": "test://static"}) + b"\n"
    echo = request("tools/call", {"name": "echo", "arguments": {"text": "x" * 1500}}) + b"\n"
    batch = b"[%b,%b]\n" % (
        request("ping", {}),
        request("tools/call", {"name": "thread", "arguments": {"text": "a"}}, 2),
    )
    slow = request("tools/call", {"name": "steps"}) + b"\n"
    seeds += [
        hello + subscribe + PUBLISH + SETTLE,
        hello + STOP_READING + echo * 9 + SETTLE + READ_AGAIN + SETTLE,
        hello + STOP_READING + echo * 9 + SETTLE + TIME_PASSES + SETTLE,
        hello + slow + RESET,
        hello + DRAIN + slow + SETTLE,
        hello + slow + DRAIN + SETTLE,
        hello + b"x" * (LIMITS.max_line_bytes + 1) + b"\n",
        initialize(BATCH_VERSION) + b"\n" + batch + SETTLE,
        initialize(BATCH_VERSION) + b"\n" + b"[" * 2000 + b"]" * 2000 + b"\n",
        b"".join(request("ping", {}, number) + b"\n" for number in range(50)),
    ]
    return seeds


def words() -> list[bytes]:
    """For libFuzzer's dictionary."""
    names = {method for method, _ in CALLS + SESSION_CALLS + STATELESS_CALLS}
    names |= {"initialize", "notifications/cancelled", "notifications/initialized"}
    names |= {name for _, params in CALLS for name in (*params, *params.get("arguments", {}))} | set(META)
    names |= {str(params["name"]) for _, params in CALLS if "name" in params}
    quoted = [encoded(name) for name in sorted(names)]
    syntax = [
        b'{"',
        b'":',
        b'"id":',
        b'"result":',
        b'"error":',
        b"null",
        b"true",
        b"1e400",
        b"18446744073709551616",
        b"-1",
    ]
    return quoted + syntax + [SETTLE, STOP_READING, READ_AGAIN, TIME_PASSES, PUBLISH, DRAIN, RESET, b"\\ud800"]

"""Requests of Streamable HTTP as bytes: written once for each target, filled in for each call."""

from __future__ import annotations

from c100k_loadgen.messages import (
    INITIALIZED,
    STATELESS_REVISION,
    discover_request,
    initialize_request,
    listen_request,
    subscribe_request,
)
from c100k_loadgen.plan import Target

PATH = "/mcp"

LENGTH = b"Content-Length: "


def _head(method: str, target: Target, *headers: str) -> bytes:
    host = f"[{target.address}]" if ":" in target.address else target.address
    lines = (f"{method} {PATH} HTTP/1.1", f"Host: {host}:{target.port}", *headers)
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _post(target: Target, *headers: str) -> bytes:
    """The head of a POST as far as it is always the same: what is left is its length."""
    return _head(
        "POST",
        target,
        "Accept: application/json, text/event-stream",
        "Content-Type: application/json",
        *headers,
    )


def _whole(head: bytes, body: bytes) -> bytes:
    return b"%b%b%d\r\n\r\n%b" % (head, LENGTH, len(body), body)


class SessionRequests:
    """To one target, in the era of sessions. `head` goes before the id of the session and the length of the body."""

    __slots__ = ("_get", "head", "initialize", "protocol", "subscribe")

    def __init__(self, target: Target, protocol: str, uri: str | None) -> None:
        version = f"MCP-Protocol-Version: {protocol}"
        self.protocol = protocol
        self.initialize = _whole(_post(target), initialize_request(protocol))
        self.subscribe = None if uri is None else subscribe_request(uri)
        self.head = _post(target, version)
        self._get = _head("GET", target, "Accept: text/event-stream", version)

    initialized = INITIALIZED

    @staticmethod
    def session(session_id: bytes | None) -> bytes:
        """What a connection puts after `head`; a server need not give its sessions an id."""
        return LENGTH if session_id is None else b"Mcp-Session-Id: %b\r\n%b" % (session_id, LENGTH)

    def stream(self, session: bytes) -> bytes:
        """The GET that opens the stream of a session, given what follows `head` in its POSTs."""
        return self._get + session.removesuffix(LENGTH) + b"\r\n"


class StatelessRequests:
    """To one target, in the stateless era. `head` goes before the length of a call of `tool`."""

    __slots__ = ("discover", "head", "listen")

    def __init__(self, target: Target, tool: str, uri: str | None) -> None:
        version = f"MCP-Protocol-Version: {STATELESS_REVISION}"
        self.discover = _whole(_post(target, version, "Mcp-Method: server/discover"), discover_request())
        self.listen = _whole(_post(target, version, "Mcp-Method: subscriptions/listen"), listen_request(uri))
        self.head = _post(target, version, "Mcp-Method: tools/call", f"Mcp-Name: {tool}")

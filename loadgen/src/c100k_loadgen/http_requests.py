"""Requests of Streamable HTTP as bytes: written once for each target, filled in for each call."""

from __future__ import annotations

from typing import NamedTuple

from c100k_loadgen.messages import (
    INITIALIZED,
    STATELESS_REVISION,
    discover_request,
    initialize_request,
    listen_request,
    subscribe_request,
    tools_request,
)
from c100k_loadgen.plan import Plan, Target

LENGTH = b"Content-Length: "


class Site(NamedTuple):
    """Where requests go, as their heads say it: the header Host, the path, and further headers of every request."""

    host: str
    path: str
    headers: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, target: Target, token: str | None) -> Site:
        name = target.host_name or ("localhost" if target.unix else target.address)
        host = f"[{name}]" if ":" in name else name
        # Nobody names the port that goes without saying, and some servers know themselves only by what is usual.
        if not target.unix and (target.port != (443 if plan.tls else 80) or not target.host_name):
            host += f":{target.port}"
        return cls(host, target.path, () if token is None else (f"Authorization: Bearer {token}",))

    def head(self, method: str, *headers: str) -> bytes:
        """The head of a request, without the empty line at its end."""
        lines = (f"{method} {self.path} HTTP/1.1", f"Host: {self.host}", *self.headers, *headers)
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    def post(self, *headers: str) -> bytes:
        """The head of a POST as far as it is always the same: what is left is its length."""
        return self.head(
            "POST", "Accept: application/json, text/event-stream", "Content-Type: application/json", *headers
        )


def whole(head: bytes, body: bytes) -> bytes:
    """A POST, from what `Site.post` made."""
    return b"%b%b%d\r\n\r\n%b" % (head, LENGTH, len(body), body)


class SessionRequests:
    """To one site, in the era of sessions. `head` goes before the id of the session and the length of the body."""

    __slots__ = ("_delete", "_get", "head", "initialize", "protocol", "subscribe")

    def __init__(self, site: Site, protocol: str, uri: str | None) -> None:
        version = f"MCP-Protocol-Version: {protocol}"
        self.protocol = protocol
        self.initialize = whole(site.post(), initialize_request(protocol))
        self.subscribe = None if uri is None else subscribe_request(uri)
        self.head = site.post(version)
        self._delete = site.head("DELETE", version)
        self._get = site.head("GET", "Accept: text/event-stream", version)

    initialized = INITIALIZED

    @staticmethod
    def session(session_id: bytes | None) -> bytes:
        """What a connection puts after `head`; a server need not give its sessions an id."""
        return LENGTH if session_id is None else b"Mcp-Session-Id: %b\r\n%b" % (session_id, LENGTH)

    def stream(self, session: bytes) -> bytes:
        """The GET that opens the stream of a session, given what follows `head` in its POSTs."""
        return self._get + session.removesuffix(LENGTH) + b"\r\n"

    def delete(self, session: bytes) -> bytes:
        """The DELETE that ends it."""
        return self._delete + session.removesuffix(LENGTH) + b"\r\n"


def list_tools(site: Site, cursor: str | None) -> bytes:
    """`tools/list` of the stateless era."""
    version = f"MCP-Protocol-Version: {STATELESS_REVISION}"
    return whole(site.post(version, "Mcp-Method: tools/list"), tools_request(cursor))


class StatelessRequests:
    """To one site, in the stateless era. `head` goes before the length of a call of `tool`."""

    __slots__ = ("discover", "head", "listen")

    def __init__(self, site: Site, tool: str | None, uri: str | None) -> None:
        version = f"MCP-Protocol-Version: {STATELESS_REVISION}"
        self.discover = whole(site.post(version, "Mcp-Method: server/discover"), discover_request())
        self.listen = whole(site.post(version, "Mcp-Method: subscriptions/listen"), listen_request(uri))
        self.head = site.post(version, "Mcp-Method: tools/call", *(() if tool is None else (f"Mcp-Name: {tool}",)))

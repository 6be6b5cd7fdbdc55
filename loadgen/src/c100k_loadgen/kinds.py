"""The kinds of connections a plan may ask for, and making them."""

from __future__ import annotations

from collections.abc import Callable

from c100k_loadgen.causes import planned
from c100k_loadgen.children import Children
from c100k_loadgen.connection import Connection, Owner
from c100k_loadgen.http_requests import SessionRequests, Site, StatelessRequests
from c100k_loadgen.http_session import HttpSession, SessionStream
from c100k_loadgen.http_stateless import ListenStream, StatelessConnection
from c100k_loadgen.plan import Plan
from c100k_loadgen.stdio import StdioSession
from c100k_loadgen.tcp import TcpSession
from c100k_loadgen.websocket import WebSocketSession

#: Makes connection `number`, to the target of that name, after so many failed attempts; None when there is nothing to
#: be opened (any more).
Connect = Callable[[int, str, int], Connection | None]


def callers(plan: Plan, owner: Owner, tool: str | None, token: str | None, *, subscribed: bool) -> Connect:
    """Makes connections that call `tool`, or any tool that each call names, of the era of the plan.

    Sessions may be `subscribed` to what is published.
    """
    protocol, uri = plan.protocol, plan.fan_out.uri if plan.fan_out and subscribed else None
    if plan.transport == "tcp":
        return lambda number, target, attempts: TcpSession(owner, number, target, attempts, protocol)
    sites = _sites(plan, token)
    if plan.transport == "websocket":
        return lambda number, target, attempts: WebSocketSession(
            owner, number, target, attempts, protocol, sites[target]
        )
    if plan.stateless:
        stateless = {name: StatelessRequests(site, tool, None) for name, site in sites.items()}
        return lambda number, target, attempts: StatelessConnection(owner, number, target, attempts, stateless[target])
    sessions = {name: SessionRequests(site, protocol, uri) for name, site in sites.items()}
    return lambda number, target, attempts: HttpSession(owner, number, target, attempts, sessions[target])


def processes(plan: Plan, owner: Owner, children: Children) -> Connect:
    """Makes connections to server processes of their own, which are started for them."""
    commands = {target.name: target.command for target in plan.targets}
    return lambda number, target, attempts: StdioSession(
        owner, number, target, attempts, plan.protocol, commands[target], children
    )


def listeners(plan: Plan, owner: Owner, token: str | None) -> Connect:
    """Makes `subscriptions/listen` streams."""
    uri = plan.fan_out.uri if plan.fan_out else None
    requests = {name: StatelessRequests(site, None, uri) for name, site in _sites(plan, token).items()}
    return lambda number, target, attempts: ListenStream(owner, number, target, attempts, requests[target], uri)


def _sites(plan: Plan, token: str | None) -> dict[str, Site]:
    return {target.name: Site.of(plan, target, token) for target in plan.targets}


class StreamedSessions:
    """Sessions with a GET stream each: a session has an even number, and its stream the next one."""

    def __init__(self, plan: Plan, owner: Owner, token: str | None) -> None:
        self._owner = owner
        self._uri = plan.fan_out.uri if plan.fan_out else None
        self._requests = {
            name: SessionRequests(site, plan.protocol, None) for name, site in _sites(plan, token).items()
        }
        self._make_session = callers(plan, owner, None, token, subscribed=True)
        self._sessions: dict[int, HttpSession] = {}
        self._streams: dict[int, SessionStream] = {}

    def connect(self, number: int, target: str, attempts: int) -> Connection | None:
        if number % 2 == 0:
            return self._make_session(number, target, attempts)
        session = self._sessions.get(number - 1)
        if session is None or number in self._streams:
            return None
        requests = self._requests[target]
        stream = SessionStream(self._owner, number, target, attempts, requests, session, self._uri)
        self._streams[number] = stream
        return stream

    def opened(self, connection: Connection) -> int | None:
        """The number of the stream that is to be opened now, if it was a session that was opened."""
        if not isinstance(connection, HttpSession):
            return None
        self._sessions[connection.number] = connection
        return connection.number + 1

    def gone(self, connection: Connection, cause: str) -> None:
        """A connection has ended, or could not be opened. A stream does not outlive its session."""
        if not connection.calls:
            if self._streams.get(connection.number) is connection:
                del self._streams[connection.number]
        elif self._sessions.pop(connection.number, None) is not None and cause != "stop":
            stream = self._streams.get(connection.number + 1)
            if stream is not None and planned(cause):
                stream.close(cause)
            elif stream is not None:
                stream.fail("session_lost")

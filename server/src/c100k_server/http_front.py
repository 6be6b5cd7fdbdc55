"""What stands before an endpoint of HTTP: whom a request may come from, and how one is refused."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod

from c100k_server.authentication import Authenticator, Caller, CannotVerifyError, Principal, TokenFile, bearer_token
from c100k_server.config import ConnectionLimits, HttpConfig
from c100k_server.http_connection import HttpConnection, HttpRequest
from c100k_server.jsonrpc import INVALID_REQUEST, error_line
from c100k_server.listening import Listening
from c100k_server.service import Service
from c100k_server.sockets import BACKLOG
from c100k_server.statistics import HTTP_REFUSED, HTTP_REQUESTS
from c100k_server.tls import Tls, TlsAcceptor

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


class HttpFront(Listening, ABC):
    """Checks requests, and gives those that may come in to `route`. Without an `authenticator` they all may."""

    def __init__(
        self,
        transport: str,
        service: Service,
        limits: ConnectionLimits,
        http: HttpConfig,
        connections_max: int,
        authenticator: Authenticator | TokenFile | None,
        *,
        is_local: bool,
    ) -> None:
        super().__init__(transport, service, limits, connections_max)
        self.http = http
        # Those that have a stream, or are about to.
        self.active: set[HttpConnection] = set()
        self._authenticator = authenticator
        self._is_local = is_local

    async def start(self, listener: socket.socket, tls: Tls | None) -> None:
        """Begin to accept connections."""
        if tls is not None:
            self._server = TlsAcceptor(self, listener, tls, lambda: HttpConnection(self), BACKLOG)
        else:
            self._server = await self._loop.create_server(lambda: HttpConnection(self), sock=listener, backlog=BACKLOG)

    @abstractmethod
    def route(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Answer a request that may come in."""

    def serve(self, connection: HttpConnection, request: HttpRequest) -> None:
        """Answer a request, at once or later."""
        self.figures[HTTP_REQUESTS] += 1
        if request.path != b"/mcp":
            self.refuse(connection, 404, "the endpoint is /mcp")
        elif not self._is_trusted(request):
            self.refuse(connection, 403, "this Host or Origin is not allowed here")
        elif self._authenticator is None:
            self.route(connection, request)
        else:
            self._identify(connection, request, self._authenticator)

    def problem(self, reason: str) -> bytes:
        """The body of a refusal."""
        return error_line(None, INVALID_REQUEST, reason)

    def refuse(self, connection: HttpConnection, status: int, reason: str, headers: bytes = b"") -> None:
        self.figures[HTTP_REFUSED[str(status)]] += 1
        connection.respond(status, self.problem(reason), headers)

    def _identify(
        self, connection: HttpConnection, request: HttpRequest, authenticator: Authenticator | TokenFile
    ) -> None:
        token = bearer_token(request.headers.get("authorization", ""))
        if token is None:
            self.refuse(connection, 401, "a bearer token is needed", b"WWW-Authenticate: Bearer\r\n")
            return
        try:
            found = authenticator.identify(token, Caller(connection.peer, request.path.decode("latin-1")))
        except CannotVerifyError:
            self.refuse(connection, 503, "the token cannot be verified now")
            return
        if isinstance(found, asyncio.Future):
            connection.work = self._loop.create_task(self._wait(connection, request, found))
        else:
            self._identified(connection, request, found)

    async def _wait(
        self, connection: HttpConnection, request: HttpRequest, verdict: asyncio.Future[Principal | None]
    ) -> None:
        """Others may wait for the same verdict, which the going of this client does not end."""
        try:
            principal = await asyncio.shield(verdict)
        except CannotVerifyError:
            self.refuse(connection, 503, "the token cannot be verified now")
        else:
            connection.work = None
            self._identified(connection, request, principal)

    def _identified(self, connection: HttpConnection, request: HttpRequest, principal: Principal | None) -> None:
        if principal is None:
            challenge = b'WWW-Authenticate: Bearer error="invalid_token"\r\n'
            self.refuse(connection, 401, "this bearer token is not valid", challenge)
        else:
            request.principal = principal
            self.route(connection, request)

    def _is_trusted(self, request: HttpRequest) -> bool:
        """Against DNS rebinding: a page of another site can make a browser send here, but not lie about these."""
        host = request.headers.get("host", "")
        if (self._is_local or self.http.hosts) and not self._is_name_allowed(host, self.http.hosts):
            return False
        origin = request.headers.get("origin")
        if origin is None or origin in self.http.origins:
            return True
        return self._is_local and _without_port(origin.partition("://")[2]) in LOCAL_NAMES

    def _is_name_allowed(self, host: str, allowed: tuple[str, ...]) -> bool:
        name = _without_port(host)
        return name in allowed or host in allowed or (self._is_local and name in LOCAL_NAMES)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name.lower() if colon and port.isdecimal() else host.lower()

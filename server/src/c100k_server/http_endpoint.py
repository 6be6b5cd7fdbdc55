"""The MCP endpoint of Streamable HTTP, `/mcp`: which status a request gets, and who answers it.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports and its successor of 2026-07-28.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from c100k_server.authentication import Authenticator, Principal, TokenFile, identity_of
from c100k_server.config import ConnectionLimits, HttpConfig
from c100k_server.http_connection import HttpConnection, HttpRequest
from c100k_server.http_front import HttpFront
from c100k_server.http_stream import HttpSession, HttpSessions, SessionStream, StatelessStream
from c100k_server.jsonrpc import (
    BUSY,
    HEADER_MISMATCH,
    INVALID_REQUEST,
    PARSE_ERROR,
    Call,
    decode_any,
    decode_call,
    error_line,
    readable_id,
)
from c100k_server.resumption import missed_messages
from c100k_server.service import Service
from c100k_server.session import LATER, UnreadableMessagesError
from c100k_server.state import scripts
from c100k_server.state.ids import is_session_id, read_event_id
from c100k_server.state.store import Claim, Claimed, SessionStore, Spared
from c100k_server.stateless import ListenStream, is_stateless, start, wanted_task
from c100k_server.statistics import (
    ERRORS,
    LIMITS,
    RECEIVED,
    SENT,
    SESSIONS,
    request_cell,
)
from c100k_server.tls import Tls
from c100k_server.versions import SESSION_VERSIONS
from c100k_server.worker_ids import worker_of

# Between comments on a stream that is silent: less than proxies commonly wait, 30 s and more.
COMMENT_S = 20.0
EXPIRE_S = 5.0
# How many streams get their comment in one turn of the loop.
BATCH = 250
# Headers of 2026-07-28 that must not be ambiguous.
_ONCE = ("mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id")


class HttpListener(HttpFront):
    """Accepts HTTP connections and serves their requests. `check_deadlines` must be called a few times per second."""

    def __init__(
        self,
        service: Service,
        worker: int,
        limits: ConnectionLimits,
        http: HttpConfig,
        connections_max: int,
        authenticator: Authenticator | TokenFile | None,
        *,
        is_local: bool,
    ) -> None:
        super().__init__("http", service, limits, http, connections_max, authenticator, is_local=is_local)
        self.sessions = HttpSessions(service, worker, http.sessions_max, partial(self.figures.__setitem__, SESSIONS))
        # Requests whose session is being claimed, by its id.
        self._claiming: dict[str, list[tuple[HttpConnection, HttpRequest]]] = {}
        self._timers: list[asyncio.Task[None]] = []
        # Set where another worker may have a session that this one has not.
        self.hand_over: Callable[[int, HttpConnection, HttpRequest], bool] | None = None

    async def start(self, listener: socket.socket, tls: Tls | None) -> None:
        await super().start(listener, tls)
        self._timers = [self._loop.create_task(self._comment()), self._loop.create_task(self._expire())]

    def route(self, connection: HttpConnection, request: HttpRequest) -> None:
        if request.method == "POST":
            self._post(connection, request)
        elif request.method not in ("GET", "DELETE"):
            self.refuse(connection, 405, "use POST, GET or DELETE", b"Allow: POST, GET, DELETE\r\n")
        elif request.headers.get("mcp-protocol-version", SESSION_VERSIONS[-1]) not in SESSION_VERSIONS:
            self.refuse(connection, 405, "this protocol version has POST only", b"Allow: POST\r\n")
        elif request.method == "GET":
            self._get(connection, request)
        else:
            session = self._session(connection, request)
            if session is not None:
                assert session.session.id is not None
                closed = self.sessions.close(session.session.id)
                if closed is None:
                    connection.respond(204)
                else:
                    closed.add_done_callback(partial(self._closed, connection))

    async def drain(self, drain_s: float) -> None:
        for timer in self._timers:
            timer.cancel()
        for connection in list(self.active):
            if isinstance(connection.work, ListenStream):
                connection.work.finish()
            elif isinstance(connection.carried, SessionStream) and connection.carried.stands:
                connection.carried.close_stream()
        await super().drain(drain_s)

    def _post(self, connection: HttpConnection, request: HttpRequest) -> None:
        headers = request.headers
        if not accepts(headers, "application/json", "text/event-stream"):
            self.refuse(connection, 406, "Accept must list application/json and text/event-stream")
            return
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            self.refuse(connection, 415, "Content-Type must be application/json")
            return
        version = headers.get("mcp-protocol-version")
        session_id = headers.get("mcp-session-id")
        if version is None and session_id is None:
            # Without either it is `initialize`, or it is of 2026-07-28 and lacks its header.
            call = self._call(connection, request, count=False)
            if call is None:
                return
            if call.method != "initialize" and is_stateless(call):
                self._serve_stateless(connection, request)
            elif call.method != "initialize":
                self.refuse(connection, 400, "Mcp-Session-Id is missing; initialize first")
            else:
                self._initialize(connection, request)
        elif version is None or version in SESSION_VERSIONS:
            self._serve_session(connection, request)
        else:
            self._serve_stateless(connection, request)

    def _initialize(self, connection: HttpConnection, request: HttpRequest) -> None:
        session = None if self.draining else self.sessions.open(request.principal)
        if session is None:
            self.figures[LIMITS["sessions"]] += not self.draining
            self.refuse(connection, 503, "there is no room for another session")
            return
        assert session.session.id is not None
        connection.extra_headers = b"Mcp-Session-Id: %b\r\n" % session.session.id.encode()
        self._hand(connection, request, session)
        if session.session.version is None:
            self.sessions.close(session.session.id)

    def _serve_session(self, connection: HttpConnection, request: HttpRequest) -> None:
        if "mcp-session-id" not in request.headers:
            call = self._call(connection, request, count=False)
            if call is not None and call.method == "initialize":
                self._initialize(connection, request)
            elif call is not None:
                self.refuse(connection, 400, "Mcp-Session-Id is missing; initialize first")
            return
        session = self._session(connection, request)
        if session is not None:
            self._hand(connection, request, session)

    def _hand(self, connection: HttpConnection, request: HttpRequest, session: HttpSession) -> None:
        """Give the body to the session."""
        stream = session.open_stream(connection)
        connection.carried = stream
        try:
            answer = session.session.handle(request.body, stream)
        except UnreadableMessagesError as error:
            answer = error.answer
        if answer is None:
            connection.respond(202)
        elif answer is not LATER:
            stream.answer(answer, failure_of(answer))
            self.service.latency.answered()
        else:
            self.active.add(connection)

    def _serve_stateless(self, connection: HttpConnection, request: HttpRequest) -> None:
        call = self._call(connection, request, count=False)
        if call is None:
            return
        task_id = wanted_task(call)
        worker = worker_of(task_id) if task_id is not None else None
        if worker is not None and self.hand_over and self.hand_over(worker, connection, request):
            return
        self.figures[RECEIVED] += 1
        if not isinstance(call.id, int | str):
            # A client cancels by closing; nothing else that it could notify of is defined.
            connection.respond(202)
            return
        stream = StatelessStream(connection, request.principal)
        connection.carried = stream
        if request.repeated and not request.repeated.isdisjoint(_ONCE):
            self.figures[ERRORS] += 1
            self.figures[SENT] += 1
            self.figures[request_cell(call.method, "error")] += 1
            stream.answer(error_line(call.id, HEADER_MISMATCH, "a header came more than once"), HEADER_MISMATCH)
            return
        started = start(self.service, call, call.id, stream, request.headers)
        if isinstance(started, tuple):
            stream.answer(*started)
            self.service.latency.answered()
            return
        connection.work = started
        self.active.add(connection)
        if isinstance(started, asyncio.Task):
            started.add_done_callback(partial(self._finish, stream, call.method))

    def _finish(self, stream: StatelessStream, method: str, task: asyncio.Task[tuple[bytes, int]]) -> None:
        if task.cancelled():
            self.figures[request_cell(method, "cancelled")] += 1
        else:
            stream.answer(*task.result())

    def _get(self, connection: HttpConnection, request: HttpRequest) -> None:
        if not accepts(request.headers, "text/event-stream"):
            self.refuse(connection, 406, "Accept must list text/event-stream")
            return
        session = self._session(connection, request)
        if session is None:
            return
        last_event_id = request.headers.get("last-event-id")
        position = read_event_id(last_event_id or "") if session.session.stored is not None else None
        if position is not None:
            self._replay(connection, session, position)
            return
        if last_event_id:
            found = session.find_stream(last_event_id)
            if found is None:
                self.refuse(connection, 400, "there is no stream with this Last-Event-ID")
                return
            stream, after = found
        else:
            stream, after = session.standing_stream(), -1
        if stream.attached:
            self.refuse(connection, 409, "this stream is open already")
            return
        connection.carried = stream
        self.active.add(connection)
        stream.resume(connection, stream.last if after < 0 else after)

    def _session(self, connection: HttpConnection, request: HttpRequest) -> HttpSession | None:
        """The session that a request belongs to, unless it has been refused."""
        session_id = request.headers.get("mcp-session-id")
        if session_id is None:
            self.refuse(connection, 400, "Mcp-Session-Id is missing; initialize first")
            return None
        session = self.sessions.find(session_id)
        if session is None:
            self._seek(session_id, connection, request)
        elif not _is_same(session.principal, request.principal):
            # To others it does not exist, so that nobody learns of an id whether it is one.
            self.refuse(connection, 404, "there is no such session; initialize again")
            return None
        return session

    def _seek(self, session_id: str, connection: HttpConnection, request: HttpRequest) -> None:
        """Have a request served where its session is, or have the session here."""
        store = self.service.store
        if store is not None and is_session_id(session_id):
            waiting = self._claiming.setdefault(session_id, [])
            waiting.append((connection, request))
            if len(waiting) == 1:
                store.claim(session_id, b"0-0", partial(self._claimed, store, session_id), spare_node=True)
            return
        worker = worker_of(session_id) if store is None else None
        if worker is None or not (self.hand_over and self.hand_over(worker, connection, request)):
            self.refuse(connection, 404, "there is no such session; initialize again")

    def _claimed(self, store: SessionStore, session_id: str, outcome: Claim) -> None:
        waiting = [each for each in self._claiming.pop(session_id) if not each[0].closing]
        if isinstance(outcome, Spared):
            keeper = store.keeper(outcome.owner)
            if keeper is not None and self.hand_over is not None:
                waiting = [each for each in waiting if not self.hand_over(keeper, *each)]
            if waiting:
                self._claiming[session_id] = waiting
                store.claim(session_id, b"0-0", partial(self._claimed, store, session_id))
            return
        if isinstance(outcome, Claimed):
            self.sessions.carry_on(outcome)
        for connection, request in waiting:
            if isinstance(outcome, Claimed):
                self.route(connection, request)
            elif outcome is None:
                self.refuse(connection, 404, "there is no such session; initialize again")
            else:
                self._refuse_unavailable(connection)

    def _replay(self, connection: HttpConnection, session: HttpSession, after: tuple[bytes, bytes]) -> None:
        """Carry on the GET stream of a session that may have been elsewhere."""
        store, stored = self.service.store, session.session.stored
        assert store is not None
        assert stored is not None

        def read(entries: asyncio.Future[Any]) -> None:
            stream = session.standing_stream()
            if connection.closing:
                return
            if entries.cancelled() or entries.exception() is not None:
                self._refuse_unavailable(connection)
            elif stream.attached:
                self.refuse(connection, 409, "this stream is open already")
            else:
                messages = [(entry_id, fields[1]) for entry_id, fields in entries.result()]
                connection.carried = stream
                self.active.add(connection)
                stream.carry_on(connection, missed_messages(self.service, Claimed(stored, messages), after))

        store.inbox(stored, after[0]).add_done_callback(read)

    def _closed(self, connection: HttpConnection, closed: asyncio.Future[Any]) -> None:
        if connection.closing:
            return
        if closed.cancelled() or closed.exception() is not None or closed.result() == scripts.FENCED:
            # Whose it is may have been lost with a master: it is claimed anew when it is asked again.
            self._refuse_unavailable(connection)
        else:
            connection.respond(204)

    def _refuse_unavailable(self, connection: HttpConnection) -> None:
        self.refuse(connection, 503, "the state of sessions is not available; ask again")

    def _call(self, connection: HttpConnection, request: HttpRequest, *, count: bool) -> Call | None:
        """The message in a body, unless it has been refused. One that another will read is not counted."""
        try:
            call = decode_call(request.body)
        except (ValueError, RecursionError) as error:
            self.figures[RECEIVED] += 1
            self._refuse_body(connection, request.body, error)
            return None
        self.figures[RECEIVED] += count
        return call

    def _refuse_body(self, connection: HttpConnection, body: bytes, error: Exception) -> None:
        code, request_id = PARSE_ERROR, None
        with contextlib.suppress(ValueError, RecursionError):
            message = decode_any(body)
            code, request_id = INVALID_REQUEST, readable_id(message) if isinstance(message, dict) else None
        self.figures[ERRORS] += 1
        self.figures[SENT] += 1
        connection.respond(400, error_line(request_id, code, f"not a JSON-RPC 2.0 message: {error}"))

    async def _comment(self) -> None:
        while True:
            await asyncio.sleep(COMMENT_S)
            for position, connection in enumerate(list(self.active)):
                if position % BATCH == BATCH - 1:
                    await asyncio.sleep(0)
                connection.keep_streaming()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_S)
            self.sessions.expire(self.http.session_idle_s)


def accepts(headers: dict[str, str], *wanted: str) -> bool:
    """Whether Accept lists all of these media types."""
    return _lists(headers.get("accept", "*/*"), wanted)


# Clients are many, what they write here is little.
@lru_cache(maxsize=64)
def _lists(accept: str, wanted: tuple[str, ...]) -> bool:
    listed = {each.partition(";")[0].strip().lower() for each in accept.split(",")}
    return "*/*" in listed or all(each in listed or f"{each.partition('/')[0]}/*" in listed for each in wanted)


def failure_of(answer: bytes) -> int:
    """The code of an answer that a session gave at once, as far as HTTP cares."""
    head = answer[:80]
    if b'"error":{"code":' not in head:
        return 0
    for code in (PARSE_ERROR, BUSY):
        if b'"error":{"code":%d' % code in head:
            return code
    return INVALID_REQUEST if b'"id":null,"error"' in head else 0


def _is_same(one: Principal | None, other: Principal | None) -> bool:
    return one == other or identity_of(one) == identity_of(other)

"""A session of the revisions 2024-11-05 to 2025-11-25: a message in, an answer out, at once or later."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

from c100k_server.authentication import identity_of
from c100k_server.batch import Batch
from c100k_server.jsonrpc import (
    BUSY,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Call,
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
from c100k_server.methods import SESSION_METHODS
from c100k_server.outlet import Outlet, StandingOutlet
from c100k_server.questions import Questions
from c100k_server.request import FAILED_TOOL, Request
from c100k_server.resumption import (
    METHOD,
    as_request_error,
    event_id,
    hears_broadcasts,
    missed_messages,
    no_such_session,
    offers_resumption,
    position_member,
    read_resume,
    welcome,
)
from c100k_server.service import Service
from c100k_server.state.store import Claim, Claimed
from c100k_server.state.stored_session import Profile, StoredSession
from c100k_server.state.values import SessionValues
from c100k_server.stateless import ListenStream, is_stateless, start
from c100k_server.statistics import ERRORS, LIMITS, RECEIVED, SENT, request_cell
from c100k_server.subscriptions import Event
from c100k_server.task_store import Owner
from c100k_server.versions import BATCH_VERSION, LATEST_SESSION_VERSION

# A client that writes no JSON so often will not start to: an HTTP client on the wrong port, a broken framing.
UNREADABLE_MAX = 16
# What one session may have under way, and be told about.
IN_FLIGHT_MAX = 128
SUBSCRIPTIONS_MAX = 1000
# A batch is answered in one turn of the loop, and its answers can be much longer than itself.
BATCH_MAX = 100
LATER = b""


class UnreadableMessagesError(Exception):
    """The peer has sent `UNREADABLE_MAX` lines that are not JSON; `answer` is the last it gets."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        super().__init__(f"{UNREADABLE_MAX} lines were not JSON")


class _InitializeParams(msgspec.Struct, rename="camel"):
    protocol_version: str
    capabilities: dict[str, Any] = {}


class _HotParams(msgspec.Struct, gc=False):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    task: Any = None


class _Cancelled(msgspec.Struct, rename="camel"):
    request_id: RequestId


_decode_initialize_params = msgspec.json.Decoder(_InitializeParams).decode
_decode_hot_params = msgspec.json.Decoder(_HotParams).decode
_decode_cancelled = msgspec.json.Decoder(_Cancelled).decode

_NO_CAPABILITIES: Mapping[str, Any] = {}
_CALL_OK = request_cell("tools/call", "ok")
_CALL_FAILED = request_cell("tools/call", "tool_error")


class _Settling:
    """Work that is done, and has yet to be kept: too late to be cancelled."""

    def cancel(self) -> None: ...


_SETTLING = _Settling()


class _Extra:
    """What most sessions never need."""

    __slots__ = ("in_flight", "outlet", "owner", "questions", "stored", "topics", "values")

    def __init__(self) -> None:
        self.in_flight: dict[RequestId, asyncio.Task[tuple[bytes, int]] | ListenStream | _Settling] = {}
        self.questions = Questions()
        self.topics: set[str] = set()
        self.outlet: Outlet | None = None
        self.owner: Owner | None = None
        # Where sessions outlive their connections, and this one does.
        self.stored: StoredSession | None = None
        self.values: SessionValues | None = None


class Session:
    """One client's session. `version` is None until it has initialized; `id` is that of its HTTP header, if any.

    On a connection it also serves 2026-07-28, in which each request stands for itself.
    """

    __slots__ = ("_extra", "_service", "_unreadable", "capabilities", "id", "log_level", "version")

    def __init__(self, service: Service, session_id: str | None = None) -> None:
        self._service = service
        self._unreadable = 0
        self._extra: _Extra | None = None
        self.id = session_id
        self.capabilities = _NO_CAPABILITIES
        self.log_level = "info"
        self.version: str | None = None

    def handle(self, line: bytes, outlet: Outlet) -> bytes | None:
        """Answer one message, given and returned as a line of JSON; None where no answer is due, `LATER` where
        `outlet` is given one.

        Raises `UnreadableMessagesError` when the client should be given up.
        """
        service = self._service
        try:
            call = decode_call(line)
        except (ValueError, RecursionError) as error:
            return self._handle_unusual(line, outlet, error)
        service.figures[RECEIVED] += 1
        request_id = call.id
        if request_id is msgspec.UNSET:
            self._notified(call)
            return None
        if call.method == "tools/call" and self.version is not None:
            # What is called most, and answered at once, is spared what the others need.
            try:
                params = _decode_hot_params(call.params)
                inline = service.inline.get(params.name)
                if inline is not None and params.task is None:
                    result = inline(params.arguments)
                    service.figures[SENT] += 1
                    service.figures[_CALL_FAILED if result.endswith(FAILED_TOOL) else _CALL_OK] += 1
                    return result_line(request_id, result)
            except msgspec.ValidationError as error:
                return self._refuse(call, INVALID_PARAMS, f"{call.method}: {error}")
            except RequestError as error:
                return self._refuse(call, error.code, error.message, error.data)
            except (ValueError, RecursionError) as error:
                return self._refuse(call, PARSE_ERROR, f"not JSON: {error}")
        return self._begin(call, request_id, outlet)

    def ask(self, method: str, params: Mapping[str, Any], outlet: Outlet) -> asyncio.Future[dict[str, Any]]:
        """Ask the client; its result."""
        answer = self._more().questions.ask(method, params, outlet)
        self._service.figures[SENT] += not answer.done()
        return answer

    def end_input(self) -> None:
        """The client has closed its sending side."""
        self._more().questions.end_input()

    def refuse_oversize(self, max_line_bytes: int) -> bytes:
        """The answer to a message that is too long to be read."""
        self._service.figures[RECEIVED] += 1
        return self._error(None, INVALID_REQUEST, f"a message is longer than {max_line_bytes} bytes; closing")

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return self._extra is not None and any(not isinstance(w, ListenStream) for w in self._extra.in_flight.values())

    @property
    def owner(self) -> Owner:
        """What its tasks are known by."""
        extra = self._more()
        if extra.owner is None:
            extra.owner = Owner("session", self.id or secrets.token_hex(16))
        return extra.owner

    @property
    def has_tasks(self) -> bool:
        """Whether any of its tasks goes on."""
        return self._extra is not None and self._extra.owner is not None and self._service.tasks.has_running(self.owner)

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until nothing is under way."""
        tasks = [work for work in self._more().in_flight.values() if isinstance(work, asyncio.Task)]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)

    def finish_streams(self) -> None:
        """End the streams that would go on for ever."""
        if self._extra is not None:
            for request_id, work in list(self._extra.in_flight.items()):
                # The answer of one can have the connection finish the others, before it is this one's turn.
                if isinstance(work, ListenStream) and self._extra.in_flight.pop(request_id, None) is not None:
                    work.finish()

    def subscribe(self, uri: str, outlet: Outlet) -> None:
        """Raises `RequestError`."""
        extra = self._more()
        extra.outlet = outlet
        if len(extra.topics) >= SUBSCRIPTIONS_MAX:
            self._service.figures[LIMITS["session_subscriptions"]] += 1
            raise RequestError(BUSY, f"a session may subscribe to {SUBSCRIPTIONS_MAX} resources")
        extra.topics.add(f"uri:{uri}")
        self._service.subscriptions.add(f"uri:{uri}", self)
        if extra.stored is not None:
            extra.stored.subscribe(uri)

    def unsubscribe(self, uri: str) -> None:
        if self._extra is not None:
            self._extra.topics.discard(f"uri:{uri}")
            self._service.subscriptions.discard(f"uri:{uri}", self)
            if self._extra.stored is not None:
                self._extra.stored.unsubscribe(uri)

    def set_log_level(self, level: str) -> None:
        self.log_level = level
        if self.stored is not None:
            self.stored.set_log_level(level)

    @property
    def stored(self) -> StoredSession | None:
        """What of it is kept for all nodes of the cluster, if anything is."""
        return self._extra.stored if self._extra is not None else None

    @property
    def values(self) -> SessionValues:
        """What the app remembers of it."""
        extra = self._more()
        if extra.stored is not None:
            return extra.stored.values
        if extra.values is None:
            extra.values = SessionValues()
        return extra.values

    def tell(self, event: Event) -> bool:
        """A resource that it subscribed to has changed."""
        outlet = self._extra.outlet if self._extra is not None else None
        return outlet is not None and outlet.send(self.line_of(event))

    def hears(self, event: Event) -> bool:
        """Whether its client wants to know: broadcasts are for those who know what they are."""
        return not event.is_broadcast or hears_broadcasts(self.capabilities)

    @property
    def event_id(self) -> bytes:
        """How far a client that may come back elsewhere has been told of everything; empty for one that may not."""
        stored = self.stored
        return event_id(self._service, stored) if stored is not None else b""

    def line_of(self, event: Event) -> bytes:
        """An event as this client is told of it: one that can come back is told where it is."""
        stored = self.stored
        if stored is None:
            return event.line
        stored.told_id = event.id
        return event.tagged(position_member(stored.inbox_id, event.id))

    def carry_on(self, claimed: Claimed, outlet: StandingOutlet) -> None:
        """Be a session that was stored, whose standing messages go to `outlet`."""
        stored = claimed.session
        extra = self._more()
        extra.stored = stored
        extra.outlet = outlet
        stored.on_moved = outlet.leave
        stored.outlet = outlet
        self.id = stored.id
        self.version = stored.profile.version
        self.capabilities = stored.profile.capabilities or _NO_CAPABILITIES
        self.log_level = stored.log_level
        for uri in stored.subscriptions:
            extra.topics.add(f"uri:{uri}")
            self._service.subscriptions.add(f"uri:{uri}", self)

    def close(self) -> None:
        """The client is gone: cancel what it asked for."""
        extra, self._extra = self._extra, None
        if extra is not None:
            for topic in extra.topics:
                self._service.subscriptions.discard(topic, self)
            for task in extra.in_flight.values():
                task.cancel()
            if extra.owner is not None:
                self._service.tasks.abandon(extra.owner)
            self._service.registry.leave(self)
            if extra.stored is not None and self._service.store is not None:
                self._service.store.forget(extra.stored)

    def _begin(self, call: Call, request_id: RequestId, outlet: Outlet) -> bytes | None:
        if self.version is None and call.method not in ("initialize", "ping") and is_stateless(call):
            started = start(self._service, call, request_id, outlet, None)
        else:
            handler = SESSION_METHODS.get(call.method)
            if call.method == "initialize":
                return self._initialize(call, request_id, outlet)
            if call.method == METHOD and self._service.store is not None:
                return self._resume(call, request_id, outlet)
            if handler is None:
                return self._refuse(call, METHOD_NOT_FOUND, f"there is no method {call.method!r}")
            if self.version is None and call.method != "ping":
                return self._refuse(call, INVALID_REQUEST, f"initialize first, then call {call.method}")
            version = self.version or LATEST_SESSION_VERSION
            request = Request(
                self._service, call.method, request_id, outlet, self, version, self.capabilities, self.log_level
            )
            started = request.run(handler, call.params)
            if isinstance(started, tuple):
                return self._settled(request, request_id, outlet, started)
            return self._follow(call, request_id, outlet, started, request)
        return started[0] if isinstance(started, tuple) else self._follow(call, request_id, outlet, started, None)

    def _follow(
        self,
        call: Call,
        request_id: RequestId,
        outlet: Outlet,
        started: asyncio.Task[tuple[bytes, int]] | ListenStream,
        request: Request | None,
    ) -> bytes:
        extra = self._more()
        if len(extra.in_flight) >= IN_FLIGHT_MAX or request_id in extra.in_flight:
            started.cancel()
            self._service.figures[LIMITS["in_flight"]] += 1
            return self._refuse(call, BUSY, f"this id, or {IN_FLIGHT_MAX} requests, are under way already")
        extra.in_flight[request_id] = started
        if isinstance(started, asyncio.Task):
            started.add_done_callback(partial(self._finished, extra, call.method, request_id, outlet, request))
        return LATER

    def _settled(self, request: Request, request_id: RequestId, outlet: Outlet, finished: tuple[bytes, int]) -> bytes:
        """An answer that is there at once, and goes out when what it says of the session is kept."""
        stored = self.stored
        if stored is None or not request.uses_session:
            return finished[0]
        extra = self._more()
        if request_id in extra.in_flight:
            return self._error(request_id, BUSY, "this id is under way already")
        self._settle(extra, stored, request_id, outlet, finished)
        return LATER

    def _settle(
        self, extra: _Extra, stored: StoredSession, request_id: RequestId, outlet: Outlet, finished: tuple[bytes, int]
    ) -> None:
        extra.in_flight[request_id] = _SETTLING

        def done(problem: Exception | None) -> None:
            del extra.in_flight[request_id]
            outlet.answer(*(finished if problem is None else self._unkept(request_id, problem)))

        stored.settle(done)

    def _unkept(self, request_id: RequestId, problem: Exception) -> tuple[bytes, int]:
        """The answer instead of one whose promise could not be kept; it is counted as sent already."""
        error = as_request_error(problem)
        self._service.figures[ERRORS] += 1
        return error_line(request_id, error.code, error.message, error.data), error.code

    def _initialize(self, call: Call, request_id: RequestId, outlet: Outlet) -> bytes:
        service = self._service
        if self.version is not None:
            return self._refuse(call, INVALID_REQUEST, "this session is initialized already")
        try:
            params = _decode_initialize_params(call.params)
        except msgspec.ValidationError as error:
            return self._refuse(call, INVALID_PARAMS, f"{call.method}: {error}")
        except (ValueError, RecursionError) as error:
            return self._refuse(call, PARSE_ERROR, f"not JSON: {error}")
        self.version = params.protocol_version if params.protocol_version in service.welcome else LATEST_SESSION_VERSION
        self.capabilities = params.capabilities or _NO_CAPABILITIES
        service.figures[SENT] += 1
        service.figures[request_cell(call.method, "ok")] += 1
        resumable = offers_resumption(self.capabilities)
        if service.store is not None and (resumable or self.id is not None):
            self._store(request_id, outlet, resumable=resumable)
            return LATER
        return result_line(request_id, service.welcome[self.version])

    def _store(self, request_id: RequestId, outlet: Outlet, *, resumable: bool) -> None:
        """Have the session outlive its connection, and then welcome the client."""
        service, extra = self._service, self._more()
        store, version = service.store, self.version
        assert store is not None
        assert version is not None
        extra.in_flight[request_id] = _SETTLING

        def created(outcome: StoredSession | Exception) -> None:
            del extra.in_flight[request_id]
            if isinstance(outcome, Exception):
                self.version = None
                outlet.answer(*self._unkept(request_id, outcome))
                if self.id is not None:
                    # The client got no id to use it with.
                    outlet.standing.leave()
            elif self._extra is not extra:
                store.forget(outcome)
            else:
                extra.stored, self.id = outcome, outcome.id
                outcome.on_moved = outlet.standing.leave
                outcome.outlet = outlet.standing
                result = service.welcome[version]
                outlet.answer(result_line(request_id, welcome(service, outcome, result) if resumable else result), 0)

        store.create(self.id or store.new_id(), Profile(version, dict(self.capabilities), outlet.principal), created)

    def _resume(self, call: Call, request_id: RequestId, outlet: Outlet) -> bytes:
        service, extra = self._service, self._more()
        store = service.store
        assert store is not None
        try:
            if self.version is not None or extra.in_flight:
                raise RequestError(INVALID_REQUEST, "a session is resumed by the first message of a connection")
            session_id, after = read_resume(call.params)
        except RequestError as error:
            return self._refuse(call, error.code, error.message, error.data)
        except (ValueError, RecursionError) as error:
            return self._refuse(call, INVALID_PARAMS, f"{call.method}: {error}")
        extra.in_flight[request_id] = _SETTLING
        service.figures[SENT] += 1

        def claimed(outcome: Claim) -> None:
            del extra.in_flight[request_id]
            if not isinstance(outcome, Claimed):
                problem = outcome if isinstance(outcome, Exception) else no_such_session()
                outlet.answer(*self._unkept(request_id, problem))
            elif self._extra is not extra:
                store.forget(outcome.session)
            elif identity_of(outcome.session.profile.principal) != identity_of(outlet.principal):
                store.forget(outcome.session)
                outlet.answer(*self._unkept(request_id, no_such_session()))
            else:
                self._carry_on(request_id, outcome, after, outlet)

        store.claim(session_id, after[0] if after is not None else b"0-0", claimed)
        return LATER

    def _carry_on(
        self, request_id: RequestId, claimed: Claimed, after: tuple[bytes, bytes] | None, outlet: Outlet
    ) -> None:
        service = self._service
        missed = missed_messages(service, claimed, after)
        self.carry_on(claimed, outlet.standing)
        result = {
            "protocolVersion": self.version,
            "eventId": event_id(service, claimed.session).decode(),
            "missed": len(missed),
        }
        outlet.answer(result_line(request_id, encode(result)), 0)
        for line, _ in missed:
            outlet.send(line)
        service.figures[SENT] += len(missed)

    def _notified(self, call: Call) -> None:
        if call.method == "notifications/cancelled" and self._extra is not None:
            try:
                request_id = _decode_cancelled(call.params).request_id
            except (ValueError, RecursionError):
                return
            work = self._extra.in_flight.get(request_id)
            if work is not None:
                work.cancel()
            if isinstance(work, ListenStream):
                del self._extra.in_flight[request_id]

    def _finished(
        self,
        extra: _Extra,
        method: str,
        request_id: RequestId,
        outlet: Outlet,
        request: Request | None,
        task: asyncio.Task[tuple[bytes, int]],
    ) -> None:
        del extra.in_flight[request_id]
        # Whoever cancels wants no answer.
        if task.cancelled():
            self._service.figures[request_cell(method, "cancelled")] += 1
            if isinstance(outlet, Batch):
                outlet.forgo()
        elif extra.stored is not None and request is not None and request.uses_session:
            self._settle(extra, extra.stored, request_id, outlet, task.result())
        else:
            outlet.answer(*task.result())

    def _more(self) -> _Extra:
        if self._extra is None:
            self._extra = _Extra()
        return self._extra

    def _handle_unusual(self, line: bytes, outlet: Outlet, error: Exception) -> bytes | None:
        if not line.strip():
            return None
        try:
            message = decode_any(line)
        except (ValueError, RecursionError):
            return self._refuse_unreadable(error)
        if isinstance(message, list) and message and self.version == BATCH_VERSION:
            return self._handle_batch(line, outlet)
        self._service.figures[RECEIVED] += 1
        if not isinstance(message, dict):
            return self._error(None, INVALID_REQUEST, "a message must be one JSON object")
        if "method" not in message and ("result" in message or "error" in message):
            if self._extra is not None:
                self._extra.questions.answered(message)
            return None
        return self._error(readable_id(message), INVALID_REQUEST, f"not a JSON-RPC 2.0 request: {error}")

    def _handle_batch(self, line: bytes, outlet: Outlet) -> bytes | None:
        items = decode_batch(line)
        if len(items) > BATCH_MAX:
            self._service.figures[RECEIVED] += 1
            return self._error(None, INVALID_REQUEST, f"a batch may hold {BATCH_MAX} messages")
        batch = Batch(outlet)
        for item in items:
            message = bytes(item)
            if message.startswith(b"["):
                self._service.figures[RECEIVED] += 1
                batch.add(self._error(None, INVALID_REQUEST, "a batch must not hold a batch"))
                continue
            answer = self.handle(message, batch)
            if answer is LATER:
                batch.expect()
            elif answer is not None:
                batch.add(answer)
        return LATER if batch.waits else batch.array()

    def _refuse_unreadable(self, error: Exception) -> bytes:
        self._service.figures[RECEIVED] += 1
        self._unreadable += 1
        answer = self._error(None, PARSE_ERROR, f"not JSON: {error}")
        if self._unreadable == UNREADABLE_MAX:
            raise UnreadableMessagesError(answer)
        return answer

    def _refuse(self, call: Call, code: int, message: str, data: object = None) -> bytes:
        assert call.id is not msgspec.UNSET
        self._service.figures[request_cell(call.method, "error")] += 1
        return self._error(call.id, code, message, data)

    def _error(self, request_id: RequestId | None, code: int, message: str, data: object = None) -> bytes:
        figures = self._service.figures
        figures[ERRORS] += 1
        figures[SENT] += 1
        return error_line(request_id, code, message, data)

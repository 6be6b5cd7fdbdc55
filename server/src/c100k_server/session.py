"""A session of the revisions 2024-11-05 to 2025-11-25: a message in, an answer out, at once or later."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any

import msgspec

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
    error_line,
    readable_id,
    request_line,
    result_line,
)
from c100k_server.methods import SESSION_METHODS
from c100k_server.outlet import Outlet
from c100k_server.request import FAILED_TOOL, Request
from c100k_server.service import Service
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
# How long a client may take to answer a question that a person has to read.
ANSWER_TIMEOUT_S = 600.0
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


class _Extra:
    """What most sessions never need."""

    __slots__ = ("asked", "in_flight", "input_ended", "next_id", "outlet", "owner", "topics")

    def __init__(self) -> None:
        self.in_flight: dict[RequestId, asyncio.Task[tuple[bytes, int]] | ListenStream] = {}
        self.asked: dict[RequestId, asyncio.Future[dict[str, Any]]] = {}
        self.next_id = 0
        self.topics: set[str] = set()
        self.outlet: Outlet | None = None
        self.owner: Owner | None = None
        self.input_ended = False


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
        extra = self._more()
        extra.next_id += 1
        request_id = f"server-{extra.next_id}"
        loop = self._service.loop
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()
        extra.asked[request_id] = answer
        timer = loop.call_later(ANSWER_TIMEOUT_S, _refuse, answer, f"the client did not answer in {ANSWER_TIMEOUT_S} s")

        def forget(_: object) -> None:
            timer.cancel()
            extra.asked.pop(request_id, None)

        answer.add_done_callback(forget)
        if not extra.input_ended and outlet.send(request_line(request_id, method, params)):
            self._service.figures[SENT] += 1
        else:
            _refuse(answer, "the client cannot be asked: it is gone, or does not read")
        return answer

    def end_input(self) -> None:
        """The client has closed its sending side: what waits for its answers waits in vain."""
        extra = self._more()
        extra.input_ended = True
        for answer in extra.asked.values():
            _refuse(answer, "the client closed its sending side before it answered")

    def refuse_oversize(self, max_line_bytes: int) -> bytes:
        """The answer to a message that is too long to be read."""
        self._service.figures[RECEIVED] += 1
        return self._error(None, INVALID_REQUEST, f"a message is longer than {max_line_bytes} bytes; closing")

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return self._extra is not None and any(isinstance(w, asyncio.Task) for w in self._extra.in_flight.values())

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

    def unsubscribe(self, uri: str) -> None:
        if self._extra is not None:
            self._extra.topics.discard(f"uri:{uri}")
            self._service.subscriptions.discard(f"uri:{uri}", self)

    def tell(self, event: Event) -> bool:
        """A resource that it subscribed to has changed."""
        return self._extra is not None and self._extra.outlet is not None and self._extra.outlet.send(event.line)

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

    def _begin(self, call: Call, request_id: RequestId, outlet: Outlet) -> bytes | None:
        if self.version is None and call.method not in ("initialize", "ping") and is_stateless(call):
            started = start(self._service, call, request_id, outlet, None)
        else:
            handler = SESSION_METHODS.get(call.method)
            if call.method == "initialize":
                return self._initialize(call, request_id)
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
            return started[0]
        extra = self._more()
        if len(extra.in_flight) >= IN_FLIGHT_MAX or request_id in extra.in_flight:
            started.cancel()
            self._service.figures[LIMITS["in_flight"]] += 1
            return self._refuse(call, BUSY, f"this id, or {IN_FLIGHT_MAX} requests, are under way already")
        extra.in_flight[request_id] = started
        if isinstance(started, asyncio.Task):
            started.add_done_callback(partial(self._finished, extra, call.method, request_id, outlet))
        return LATER

    def _initialize(self, call: Call, request_id: RequestId) -> bytes:
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
        return result_line(request_id, service.welcome[self.version])

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
        self, extra: _Extra, method: str, request_id: RequestId, outlet: Outlet, task: asyncio.Task[tuple[bytes, int]]
    ) -> None:
        del extra.in_flight[request_id]
        # Whoever cancels wants no answer.
        if task.cancelled():
            self._service.figures[request_cell(method, "cancelled")] += 1
            if isinstance(outlet, Batch):
                outlet.forgo()
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
            self._answered(message)
            return None
        return self._error(readable_id(message), INVALID_REQUEST, f"not a JSON-RPC 2.0 request: {error}")

    def _answered(self, message: dict[str, Any]) -> None:
        """The client answers a question. Answers are never answered, not even those to no question."""
        answer = self._extra.asked.get(readable_id(message) or "") if self._extra is not None else None
        if answer is None or answer.done():
            return
        result = message.get("result")
        if isinstance(result, dict):
            answer.set_result(result)
        else:
            error = message.get("error")
            reason = error.get("message") if isinstance(error, dict) else None
            answer.set_exception(RequestError(INVALID_PARAMS, f"the client refused: {reason}"))

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


def _refuse(answer: asyncio.Future[dict[str, Any]], reason: str) -> None:
    """Fail a question that the client will not answer."""
    if not answer.done():
        answer.set_exception(RequestError(BUSY, reason))

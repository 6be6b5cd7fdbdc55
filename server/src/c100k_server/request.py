"""One request under way: what it knows of its client, and how its outcome becomes an answer."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from c100k_server.authentication import identity_of
from c100k_server.context import Ask, Context
from c100k_server.errors import RegistryError, ToolError
from c100k_server.events import emit
from c100k_server.jsonrpc import (
    BUSY,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    MISSING_CLIENT_CAPABILITY,
    PARSE_ERROR,
    ErrorObject,
    RequestError,
    RequestId,
    encode,
    error_line,
    notification_line,
    result_line,
)
from c100k_server.outlet import Outlet
from c100k_server.request_state import binding, seal, unseal
from c100k_server.statistics import ERRORS, IN_FLIGHT, LIMITS, SENT, request_cell
from c100k_server.versions import STATELESS_VERSION

if TYPE_CHECKING:
    from c100k_server.service import Service
    from c100k_server.session import Session
    from c100k_server.signature import Signature
    from c100k_server.task_store import Owner
    from c100k_server.tasks import RunningTask

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

# How the encoded results of tools that failed end: `isError` is the last that is encoded.
FAILED_TOOL = b'"isError":true}'

Text = TypeVar("Text", bytes, str)
Handler: TypeAlias = Callable[["Request", msgspec.Raw], bytes | Coroutine[Any, Any, bytes]]


class InputRequiredError(BaseException):
    """Unwinds a function that needs the client's input. Not an `Exception`, lest the function catch it."""

    def __init__(self, questions: Mapping[str, Ask]) -> None:
        self.questions = questions


class Request:
    """`session` is None in 2026-07-28. `answers` are those of the client to earlier questions of this request, and
    `bound_to` is what they are bound to. `task` is what the request goes on as once it was answered with a task, which
    `start_task` may make of it."""

    __slots__ = (
        "_began_ns",
        "_keys",
        "answers",
        "bound_to",
        "capabilities",
        "id",
        "log_level",
        "method",
        "outlet",
        "progress_token",
        "service",
        "session",
        "start_task",
        "task",
        "uses_session",
        "version",
    )

    def __init__(
        self,
        service: Service,
        method: str,
        request_id: RequestId,
        outlet: Outlet,
        session: Session | None,
        version: str,
        capabilities: Mapping[str, Any],
        log_level: str | None,
    ) -> None:
        self.service = service
        self.method = method
        self.id = request_id
        self.outlet = outlet
        self.session = session
        self.version = version
        self.capabilities = capabilities
        self.log_level = log_level
        self.progress_token: RequestId | None = None
        self.answers: dict[str, Any] = {}
        self.bound_to: tuple[object, ...] = ()
        self.task: RunningTask | None = None
        self.start_task: Callable[[], Awaitable[None]] = _stay
        # Whether its answer depends on what is remembered of the session, or changes that.
        self.uses_session = False
        self._keys = 0
        self._began_ns = time.monotonic_ns()

    def run(self, handler: Handler, params: msgspec.Raw) -> asyncio.Task[tuple[bytes, int]] | tuple[bytes, int]:
        """The answer and its error code, or the task that will have them."""
        try:
            result = handler(self, params)
        except (Exception, InputRequiredError) as error:
            return self._failure(error)
        if isinstance(result, bytes):
            return self._success(result)
        if self.service.figures[IN_FLIGHT] >= self.service.in_flight_max:
            result.close()
            self.service.figures[LIMITS["in_flight"]] += 1
            return self.refuse(BUSY, f"{self.service.in_flight_max} requests are under way here; try again later")
        self.service.figures[IN_FLIGHT] += 1
        task = self.service.loop.create_task(self._wait(result))
        task.add_done_callback(partial(self._ended, result))
        return task

    async def call(self, signature: Signature, function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Call a function of the app, in a thread if it is not async."""
        arguments.update(self.context_argument(signature))
        if signature.is_async:
            return await function(**arguments)
        context = contextvars.copy_context()
        future = self.service.threads.submit(context.run, partial(function, **arguments))
        self.service.in_threads.add(future)
        future.add_done_callback(self.service.in_threads.discard)
        return await asyncio.wrap_future(future)

    def context_argument(self, signature: Signature) -> dict[str, Context]:
        """The context, under the name of the parameter that wants it."""
        return {} if signature.context is None else {signature.context: Context(self)}

    def complete(self, result: bytes) -> bytes:
        """An encoded result, as the client's revision wants it."""
        return self.service.stamp(result) if self.session is None else result

    def take_answers(self, responses: object, state: str | None, *bound_to: object) -> None:
        """What the client brings along when it calls again. Raises `RequestError`."""
        if self.session is not None:
            return
        self.bound_to = (identity_of(self.outlet.principal).hex(), *bound_to)
        if state is not None:
            self.answers = unseal(self.service.state_key, binding(*self.bound_to), state)
        if responses is not None and not isinstance(responses, dict):
            raise RequestError(INVALID_PARAMS, "inputResponses must be an object")
        self.answers.update({key: each for key, each in (responses or {}).items() if isinstance(each, dict)})

    def next_key(self) -> str:
        self._keys += 1
        return f"input{self._keys}"

    async def ask(self, questions: Mapping[str, Ask]) -> dict[str, dict[str, Any]]:
        """Ask the client. Raises `RequestError` when it has not said that it can be asked."""
        lacking: dict[str, Any] = {
            each.capability: {} for each in questions.values() if each.capability not in self.capabilities
        }
        if lacking:
            names = ", ".join(lacking)
            raise RequestError(
                MISSING_CLIENT_CAPABILITY,
                f"this needs a client with the capability {names}",
                {"requiredCapabilities": lacking},
            )
        if self.task is not None:
            return await self.task.ask(questions)
        if self.session is not None:
            session = self.session
            asked = {key: session.ask(each.method, each.params, self.outlet) for key, each in questions.items()}
            try:
                await asyncio.gather(*asked.values())
            finally:
                # When one has failed nobody waits for the others.
                for answer in asked.values():
                    answer.cancel()
            given = {key: answer.result() for key, answer in asked.items()}
            for key, each in questions.items():
                if not each.is_answered_by(given[key]):
                    raise RequestError(INVALID_PARAMS, f"what the client gave does not answer {each.method}")
            return given
        missing = {key: each for key, each in questions.items() if not each.is_answered_by(self.answers.get(key))}
        if missing:
            raise InputRequiredError(missing)
        return {key: self.answers[key] for key in questions}

    def wants_log(self, level: str) -> bool:
        return self.log_level is not None and LOG_LEVELS.index(level) >= LOG_LEVELS.index(self.log_level)

    def notify(self, method: str, params: Mapping[str, Any]) -> None:
        if self.task is not None:
            if self.session is None:
                # The tasks extension has no messages of a task but its states.
                return
            params = {**params, "_meta": {**params.get("_meta", {}), **related_to(self.task.record.id)}}
        self._on_loop(self._send, notification_line(method, params))

    def describe(self, message: str) -> None:
        """Say in words how far a task is."""
        if self.task is not None:
            self._on_loop(self.task.describe, message)

    @property
    def owner(self) -> Owner:
        """Whose the tasks are that come of this."""
        return self.session.owner if self.session is not None else self.outlet.client

    def _on_loop(self, function: Callable[[Text], object], argument: Text) -> None:
        if threading.get_ident() == self.service.thread_id:
            function(argument)
        else:
            self.service.loop.call_soon_threadsafe(function, argument)

    @property
    def session_id(self) -> str | None:
        return self.session.id if self.session is not None else None

    def _send(self, line: bytes) -> None:
        if self.outlet.send(line):
            self.service.figures[SENT] += 1

    async def _wait(self, result: Coroutine[Any, Any, bytes]) -> tuple[bytes, int]:
        try:
            answer = self._success(await result)
        except (Exception, InputRequiredError) as error:
            answer = self._failure(error)
        self.service.latency.later.observe(self._began_ns)
        return answer

    def _ended(self, result: Coroutine[Any, Any, bytes], task: asyncio.Task[tuple[bytes, int]]) -> None:
        # It has not even begun when it was cancelled at once.
        result.close()
        self.service.figures[IN_FLIGHT] -= 1

    def _success(self, result: bytes) -> tuple[bytes, int]:
        figures = self.service.figures
        figures[SENT] += 1
        figures[request_cell(self.method, "tool_error" if result.endswith(FAILED_TOOL) else "ok")] += 1
        return result_line(self.id, result), 0

    def _failure(self, error: BaseException) -> tuple[bytes, int]:
        if isinstance(error, InputRequiredError):
            return self._success(self._input_required(error.questions))
        told = self.error_of(error)
        return self.refuse(told.code, told.message, told.data)

    def error_of(self, error: BaseException) -> ErrorObject:
        """What the client is told of an exception."""
        if isinstance(error, RequestError):
            return ErrorObject(error.code, error.message, error.data)
        if isinstance(error, RegistryError):
            return ErrorObject(error.code, str(error), error.data)
        if isinstance(error, msgspec.ValidationError):
            return ErrorObject(INVALID_PARAMS, str(error))
        if isinstance(error, msgspec.DecodeError | UnicodeDecodeError | RecursionError):
            # Text that is no UTF-8 or nested without end is met here when it is inside the params.
            return ErrorObject(PARSE_ERROR, f"not JSON: {error}")
        if isinstance(error, ToolError):
            return ErrorObject(INTERNAL_ERROR, str(error))
        self.report(error)
        return ErrorObject(INTERNAL_ERROR, "the server failed to answer this")

    def refuse(self, code: int, message: str, data: object = None) -> tuple[bytes, int]:
        figures = self.service.figures
        figures[ERRORS] += 1
        figures[SENT] += 1
        figures[request_cell(self.method, "error")] += 1
        return error_line(self.id, code, message, data), code

    def report(self, error: BaseException) -> None:
        """Tell operators of an error in the app; the client gets no details, which may be secret."""
        emit("app_error", error=repr(error), traceback="".join(traceback.format_exception(error)))

    def _input_required(self, questions: Mapping[str, Ask]) -> bytes:
        return self.service.stamp(
            encode(
                {
                    "inputRequests": as_input_requests(questions),
                    "requestState": seal(self.service.state_key, binding(*self.bound_to), self.answers),
                }
            ),
            result_type="input_required",
        )


def as_input_requests(questions: Mapping[str, Ask]) -> dict[str, Any]:
    """Questions as 2026-07-28 puts them."""
    return {key: {"method": each.method, "params": each.params} for key, each in questions.items()}


def related_to(task_id: str) -> dict[str, Any]:
    """What `_meta` of 2025-11-25 has in all messages that belong to a task."""
    return {"io.modelcontextprotocol/related-task": {"taskId": task_id}}


async def _stay() -> None:
    """Most requests never become tasks."""


def new_request(
    service: Service, method: str, request_id: RequestId, outlet: Outlet, meta: Mapping[str, Any]
) -> Request:
    """A request of 2026-07-28, by what its `_meta` says."""
    prefix = "io.modelcontextprotocol/"
    level = meta.get(prefix + "logLevel")
    return Request(
        service,
        method,
        request_id,
        outlet,
        None,
        STATELESS_VERSION,
        meta[prefix + "clientCapabilities"],
        level if level in LOG_LEVELS else None,
    )

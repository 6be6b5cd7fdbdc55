"""Tools that are called as tasks, and the methods that clients call to know of them, in either era.

2025-11-25: https://modelcontextprotocol.io/specification/2025-11-25/basic/utilities/tasks, where the client asks for a
task. 2026-07-28: the extension https://modelcontextprotocol.io/seps/2663-tasks-extension, where the server decides.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import msgspec

from c100k_server.app import Tool
from c100k_server.context import Ask
from c100k_server.jsonrpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_CLIENT_CAPABILITY,
    RequestError,
    encode,
    notification_line,
)
from c100k_server.request import FAILED_TOOL, Handler, Request, as_input_requests, related_to
from c100k_server.service import TASKS_EXTENSION
from c100k_server.statistics import SENT
from c100k_server.task_store import TaskRecord
from c100k_server.tasks import Outcome, RunningTask
from c100k_server.versions import TASKS_VERSION

# How long a client is to wait before it asks again.
POLL_MS = 1000


class Augmentation(msgspec.Struct):
    """`task` in the params of a tools/call of 2025-11-25."""

    ttl: float | None = None


class _TaskParams(msgspec.Struct, rename="camel"):
    task_id: str


class _UpdateParams(_TaskParams, rename="camel"):
    input_responses: dict[str, Any]


class _ListParams(msgspec.Struct):
    cursor: str | None = None


_decode_task_params = msgspec.json.Decoder(_TaskParams).decode
_decode_update_params = msgspec.json.Decoder(_UpdateParams).decode
_decode_list_params = msgspec.json.Decoder(_ListParams).decode


def augmentation(request: Request, given: object) -> Augmentation | None:
    """What a client of 2025-11-25 said of the task that it wants. Whoever does not offer tasks has to pass it over."""
    if request.version != TASKS_VERSION or not request.service.has_tasks:
        return None
    return msgspec.convert(given, Augmentation | None)


def becomes_task(request: Request, tool: Tool, asked: Augmentation | None) -> bool:
    """Whether a call is to be a task, `asked` being the client's wish. Raises `RequestError`."""
    if request.session is None:
        if tool.task == "forbidden":
            return False
        declared = declares_tasks(request)
        if not declared and tool.task == "required":
            raise _undeclared()
        return declared
    if asked is None and tool.task == "required":
        raise RequestError(METHOD_NOT_FOUND, f"tools/call: {tool.name!r} can only be called as a task")
    if asked is not None and tool.task == "forbidden":
        raise RequestError(METHOD_NOT_FOUND, f"tools/call: {tool.name!r} cannot be called as a task")
    return asked is not None


async def begin(request: Request, work: Callable[[], Awaitable[bytes]], asked: Augmentation | None) -> bytes:
    """Answer with a task, as which `work` goes on."""
    service = request.service
    if request.session is None:
        task = await service.tasks.open(request.owner, None)
    else:
        task = await service.tasks.open(request.owner, asked.ttl if asked is not None else None)
        request.outlet = request.outlet.standing
        task.watchers[lambda record: _tell_session(request, record)] = None
    request.task = task
    created = _created(request, task.record)

    async def work_when_answered() -> bytes:
        # The client is to know of the task before it hears how far it is.
        await asyncio.sleep(0)
        return await work()

    service.tasks.run(task, partial(_outcome, request, work_when_answered))
    return created


async def begin_later(request: Request, work: Callable[[], Awaitable[bytes]]) -> bytes:
    """Answer with what `work` gives, or with the task that it becomes when it says so, by `request.start_task`."""
    service = request.service
    opened: asyncio.Future[RunningTask] = service.loop.create_future()

    async def start_task() -> None:
        if request.task is None:
            request.task = await service.tasks.open(request.owner, None)
            opened.set_result(request.task)

    request.start_task = start_task
    working = asyncio.ensure_future(work())
    try:
        await asyncio.wait((working, opened), return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        working.cancel()
        if request.task is not None:
            service.tasks.run(request.task, partial(_outcome, request, lambda: working))
        raise
    if request.task is None:
        return request.complete(await working)
    created = _created(request, request.task.record)
    service.tasks.run(request.task, partial(_outcome, request, lambda: working))
    return created


def declares_tasks(request: Request) -> bool:
    """Whether a client of 2026-07-28 says, with this request, that it knows what tasks are."""
    extensions = request.capabilities.get("extensions")
    return isinstance(extensions, dict) and TASKS_EXTENSION in extensions


def watchable(request: Request, task_ids: Iterable[str]) -> list[RunningTask]:
    """The tasks of which a client of 2026-07-28 may hear: those that go on here, and are its own. Raises
    `RequestError`."""
    service = request.service
    if not service.has_tasks:
        return []
    if not declares_tasks(request):
        raise _undeclared()
    found = [service.tasks.running(task_id) for task_id in dict.fromkeys(task_ids)]
    return [task for task in found if task is not None and request.owner.may_use(task.record)]


def detailed(request: Request, record: TaskRecord) -> dict[str, Any]:
    """A task of 2026-07-28 with what its status brings along."""
    fields = _fields(record, "ttlMs", "pollIntervalMs")
    if record.status == "input_required":
        fields["inputRequests"] = as_input_requests(record.questions)
    elif record.result is not None:
        fields["result"] = msgspec.Raw(request.service.stamp(record.result))
    elif record.error is not None:
        fields["error"] = record.error
    return fields


async def _get(request: Request, params: msgspec.Raw) -> bytes:
    if request.session is not None:
        return encode(_flat(await _find(request, params)))
    return request.service.stamp(encode(detailed(request, await _find(request, params))))


async def _update(request: Request, params: msgspec.Raw) -> bytes:
    record = await _find(request, params)
    responses = _decode_update_params(params).input_responses
    task = request.service.tasks.running(record.id)
    if task is not None:
        task.answer(responses)
    return request.service.stamp(b"{}")


async def _cancel(request: Request, params: msgspec.Raw) -> bytes:
    record = await _find(request, params)
    if record.ended and request.session is not None:
        raise RequestError(INVALID_PARAMS, f"tasks/cancel: the task is {record.status} already")
    task = request.service.tasks.running(record.id)
    if task is not None:
        task.stop(Outcome("cancelled"))
    return encode(_flat(record)) if request.session is not None else request.service.stamp(b"{}")


async def _result(request: Request, params: msgspec.Raw) -> bytes:
    record = await _find(request, params)
    session = request.session
    assert session is not None

    async def ask(question: Ask) -> dict[str, Any]:
        related = {**question.params, "_meta": related_to(record.id)}
        return await session.ask(question.method, related, request.outlet)

    task = request.service.tasks.running(record.id)
    if task is not None:
        await task.wait(ask)
    if record.result is not None:
        return b'{"_meta":%b,%b' % (encode(related_to(record.id)), record.result[1:])
    if record.error is not None:
        raise RequestError(record.error.code, record.error.message, record.error.data)
    raise RequestError(INVALID_PARAMS, "tasks/result: the task was cancelled, and has no result")


async def _list(request: Request, params: msgspec.Raw) -> bytes:
    _check_session(request)
    after = _decode_cursor(_decode_list_params(params).cursor)
    records, last = await request.service.tasks.page(request.owner, after, request.service.app.page_size)
    following = {"nextCursor": base64.urlsafe_b64encode(b"%d" % last).decode()} if last is not None else {}
    return encode({"tasks": [_flat(record) for record in records], **following})


async def _find(request: Request, params: msgspec.Raw) -> TaskRecord:
    if request.session is None:
        _check_stateless(request)
    else:
        _check_session(request)
    return await request.service.tasks.find(_decode_task_params(params).task_id, request.owner)


def _check_session(request: Request) -> None:
    if request.version != TASKS_VERSION or not request.service.has_tasks:
        raise RequestError(METHOD_NOT_FOUND, "there are no tasks here")


def _check_stateless(request: Request) -> None:
    if not request.service.has_tasks:
        raise RequestError(METHOD_NOT_FOUND, "there are no tasks here")
    if not declares_tasks(request):
        raise _undeclared()


def _undeclared() -> RequestError:
    return RequestError(
        MISSING_CLIENT_CAPABILITY,
        f"this needs a client with the extension {TASKS_EXTENSION}",
        {"requiredCapabilities": {"extensions": {TASKS_EXTENSION: {}}}},
    )


async def _outcome(request: Request, work: Callable[[], Awaitable[bytes]]) -> Outcome:
    try:
        result = await work()
    except Exception as error:
        return Outcome("failed", error=request.error_of(error))
    # In 2026-07-28 a result that is an error is a result; in 2025-11-25 the task has failed.
    failed = request.session is not None and result.endswith(FAILED_TOOL)
    return Outcome("failed" if failed else "completed", result)


def _created(request: Request, record: TaskRecord) -> bytes:
    if request.session is not None:
        return encode({"task": _flat(record)})
    return request.service.stamp(encode(_fields(record, "ttlMs", "pollIntervalMs")), "task")


def _tell_session(request: Request, record: TaskRecord) -> None:
    line = notification_line("notifications/tasks/status", _flat(record))
    request.service.figures[SENT] += request.outlet.send(line)


def _flat(record: TaskRecord) -> dict[str, Any]:
    """A task of 2025-11-25."""
    return _fields(record, "ttl", "pollInterval")


def _fields(record: TaskRecord, ttl: str, poll: str) -> dict[str, Any]:
    return {
        "taskId": record.id,
        "status": record.status,
        **({"statusMessage": record.message} if record.message is not None else {}),
        "createdAt": datetime.fromtimestamp(record.created_at, UTC),
        "lastUpdatedAt": datetime.fromtimestamp(record.updated_at, UTC),
        ttl: record.ttl_ms,
        poll: POLL_MS,
    }


def _decode_cursor(cursor: str | None) -> int:
    """The number of the task that a page comes after."""
    if cursor is None:
        return 0
    try:
        return int(base64.urlsafe_b64decode(cursor.encode())[:18])
    except ValueError:
        raise RequestError(INVALID_PARAMS, "tasks/list: there is no such cursor") from None


SESSION_TASK_METHODS: dict[str, Handler] = {
    "tasks/get": _get,
    "tasks/result": _result,
    "tasks/list": _list,
    "tasks/cancel": _cancel,
}
STATELESS_TASK_METHODS: dict[str, Handler] = {
    "tasks/get": _get,
    "tasks/update": _update,
    "tasks/cancel": _cancel,
}

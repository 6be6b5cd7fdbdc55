"""2026-07-28: every request stands for itself, and says in `_meta` what a session would have remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from c100k_server.jsonrpc import (
    BUSY,
    HEADER_MISMATCH,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    UNSUPPORTED_VERSION,
    Call,
    RequestError,
    RequestId,
    encode,
    notification_line,
    result_line,
)
from c100k_server.methods import STATELESS_METHODS
from c100k_server.outlet import Outlet
from c100k_server.param_headers import check_param_headers, decode_header
from c100k_server.request import Request, new_request
from c100k_server.service import Service
from c100k_server.statistics import LIMITS, SENT, STREAMS, request_cell
from c100k_server.subscriptions import LISTS, Event
from c100k_server.task_methods import detailed, watchable
from c100k_server.task_store import TaskRecord
from c100k_server.versions import STATELESS_VERSION, SUPPORTED_VERSIONS

PREFIX = "io.modelcontextprotocol/"
VERSION_KEY = PREFIX + "protocolVersion"
CAPABILITIES_KEY = PREFIX + "clientCapabilities"
SUBSCRIPTION_KEY = PREFIX + "subscriptionId"

RESOURCE_SUBSCRIPTIONS_MAX = 1000
TASK_SUBSCRIPTIONS_MAX = 100
# Methods whose subject is repeated in the header Mcp-Name, and the param that has it.
NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}


class _Envelope(msgspec.Struct, rename="camel"):
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)
    name: Any = None
    uri: Any = None
    task_id: Any = None
    arguments: msgspec.Raw = msgspec.Raw(b"null")


class _Notifications(msgspec.Struct, rename="camel", omit_defaults=True):
    tools_list_changed: bool = False
    prompts_list_changed: bool = False
    resources_list_changed: bool = False
    resource_subscriptions: list[str] = []
    task_ids: list[str] = []


class _ListenParams(msgspec.Struct):
    notifications: _Notifications


class _TaskIds(msgspec.Struct, rename="camel"):
    task_ids: list[str] = []


class _TaskParams(msgspec.Struct, rename="camel"):
    task_id: str = ""
    notifications: _TaskIds = msgspec.field(default_factory=_TaskIds)


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_task_params = msgspec.json.Decoder(_TaskParams).decode
_decode_listen_params = msgspec.json.Decoder(_ListenParams).decode


def is_stateless(call: Call) -> bool:
    """Whether a request says that it is of this era."""
    try:
        envelope = _decode_envelope(call.params)
    except (ValueError, RecursionError):
        return False
    return envelope.meta is not None and VERSION_KEY in envelope.meta


def wanted_task(call: Call) -> str | None:
    """The id of the task that a request is about, if it is about one."""
    if call.method == "subscriptions/listen":
        text = bytes(call.params)
        if b"taskIds" not in text and b"\\" not in text:
            return None
    elif NAMED.get(call.method) != "taskId":
        return None
    try:
        params = _decode_task_params(call.params)
    except (ValueError, RecursionError):
        return None
    return params.task_id or next(iter(params.notifications.task_ids), None)


def start(
    service: Service, call: Call, request_id: RequestId, outlet: Outlet, headers: Mapping[str, str] | None
) -> asyncio.Task[tuple[bytes, int]] | tuple[bytes, int] | ListenStream:
    """Check a request, against the `headers` of its transport if there are any, and run it."""
    meta: dict[str, Any] = {CAPABILITIES_KEY: {}}
    try:
        envelope = _decode_envelope(call.params)
        meta = _check_meta(envelope.meta)
        if headers is not None:
            _check_headers(call, envelope, meta, headers)
        version = meta[VERSION_KEY]
        if version != STATELESS_VERSION:
            raise RequestError(
                UNSUPPORTED_VERSION,
                f"the protocol version {version!r} is not supported for requests without a session",
                {"supported": SUPPORTED_VERSIONS, "requested": version},
            )
        if headers is not None and call.method == "tools/call":
            _check_arguments(service, envelope, headers)
        request = new_request(service, call.method, request_id, outlet, meta)
        if call.method == "subscriptions/listen":
            return ListenStream(request, _decode_listen_params(call.params).notifications)
        handler = STATELESS_METHODS.get(call.method)
        if handler is None:
            raise RequestError(METHOD_NOT_FOUND, f"there is no method {call.method!r}")
    except RequestError as error:
        return _refuser(service, call, request_id, outlet).refuse(error.code, error.message, error.data)
    except (ValueError, RecursionError) as error:
        return _refuser(service, call, request_id, outlet).refuse(INVALID_PARAMS, f"{call.method}: {error}")
    return request.run(handler, call.params)


class ListenStream:
    """An open subscriptions/listen: acknowledged first, then told of what it asked for, until either side ends it."""

    __slots__ = ("_id", "_open", "_outlet", "_request", "_service", "_tag", "_tasks", "_topics")

    def __init__(self, request: Request, wanted: _Notifications) -> None:
        service = request.service
        if len(wanted.resource_subscriptions) > RESOURCE_SUBSCRIPTIONS_MAX:
            service.figures[LIMITS["stream_subscriptions"]] += 1
            raise RequestError(BUSY, f"a stream may subscribe to {RESOURCE_SUBSCRIPTIONS_MAX} resources")
        if len(wanted.task_ids) > TASK_SUBSCRIPTIONS_MAX:
            raise RequestError(BUSY, f"a stream may be told of {TASK_SUBSCRIPTIONS_MAX} tasks")
        self._request = request
        self._service = service
        self._outlet = request.outlet
        self._id = request.id
        self._open = True
        self._tag = b'"_meta":{"%b":%b}' % (SUBSCRIPTION_KEY.encode(), encode(request.id))
        self._topics = [f"uri:{uri}" for uri in set(wanted.resource_subscriptions)]
        self._tasks = watchable(request, wanted.task_ids) if wanted.task_ids else []
        task_ids = [task.record.id for task in self._tasks]
        if service.app.list_changed:
            self._topics += [kind for kind in LISTS if getattr(wanted, f"{kind}_list_changed")]
            wanted = msgspec.structs.replace(wanted, task_ids=task_ids)
        else:
            wanted = _Notifications(resource_subscriptions=wanted.resource_subscriptions, task_ids=task_ids)
        service.figures[STREAMS["listen"]] += 1
        self._outlet.send(
            notification_line(
                "notifications/subscriptions/acknowledged",
                {"notifications": wanted, "_meta": {SUBSCRIPTION_KEY: request.id}},
            )
        )
        service.figures[SENT] += 1
        for topic in self._topics:
            service.subscriptions.add(topic, self)
        for task in self._tasks:
            task.watchers[self._tell_of_task] = None
            # What has changed since the client knew of the task, it would not hear otherwise.
            self._tell_of_task(task.record)

    def tell(self, event: Event) -> bool:
        return self._outlet.send(event.tagged(self._tag))

    def _tell_of_task(self, record: TaskRecord) -> None:
        state = {**detailed(self._request, record), "_meta": {SUBSCRIPTION_KEY: self._id}}
        self._service.figures[SENT] += self._outlet.send(notification_line("notifications/tasks", state))

    def cancel(self) -> None:
        """The client is gone, or wants no more."""
        self._close("cancelled")

    def finish(self) -> None:
        """The server ends it: the client hears that it ended, and may listen elsewhere."""
        self._close("ok")
        self._service.figures[SENT] += 1
        result = b'{"resultType":"complete",%b}' % self._tag
        self._outlet.answer(result_line(self._id, result), 0)

    def _close(self, outcome: str) -> None:
        if self._open:
            self._open = False
            self._service.figures[STREAMS["listen"]] -= 1
            self._service.figures[request_cell("subscriptions/listen", outcome)] += 1
            for topic in self._topics:
                self._service.subscriptions.discard(topic, self)
            for task in self._tasks:
                task.watchers.pop(self._tell_of_task, None)


def _refuser(service: Service, call: Call, request_id: RequestId, outlet: Outlet) -> Request:
    return new_request(service, call.method, request_id, outlet, {CAPABILITIES_KEY: {}})


def _check_meta(meta: dict[str, Any] | None) -> dict[str, Any]:
    if meta is None:
        raise RequestError(INVALID_PARAMS, f"params._meta must have {VERSION_KEY} and {CAPABILITIES_KEY}")
    if not isinstance(meta.get(VERSION_KEY), str):
        raise RequestError(INVALID_PARAMS, f"params._meta must have {VERSION_KEY}, a string")
    if not isinstance(meta.get(CAPABILITIES_KEY), dict):
        raise RequestError(INVALID_PARAMS, f"params._meta must have {CAPABILITIES_KEY}, an object")
    return meta


def _check_headers(call: Call, envelope: _Envelope, meta: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    if headers.get("mcp-protocol-version") != meta[VERSION_KEY]:
        raise RequestError(HEADER_MISMATCH, f"the header MCP-Protocol-Version is not {VERSION_KEY}")
    if headers.get("mcp-method") != call.method:
        raise RequestError(HEADER_MISMATCH, "the header Mcp-Method is not the method")
    param = NAMED.get(call.method)
    if param is not None:
        subject = envelope.task_id if param == "taskId" else getattr(envelope, param)
        if subject is not None and decode_header(headers.get("mcp-name", "")) != subject:
            raise RequestError(HEADER_MISMATCH, f"the header Mcp-Name is not the param {param}")


def _check_arguments(service: Service, envelope: _Envelope, headers: Mapping[str, str]) -> None:
    tool = service.app.tools.get(envelope.name) if isinstance(envelope.name, str) else None
    if tool is not None and tool.param_headers:
        check_param_headers(tool.param_headers, msgspec.json.decode(envelope.arguments), headers)

"""The methods that clients call, in either era. Each takes a request and its encoded params, and gives its encoded
result, at once or later."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

import msgspec

from c100k_server.app import Tool
from c100k_server.content import as_messages, as_resource
from c100k_server.jsonrpc import INVALID_PARAMS, RESOURCE_NOT_FOUND, RequestError, RequestId, encode
from c100k_server.registry.methods import SESSION_REGISTRY_METHODS, STATELESS_REGISTRY_METHODS
from c100k_server.request import LOG_LEVELS, Handler, Request
from c100k_server.task_methods import (
    SESSION_TASK_METHODS,
    STATELESS_TASK_METHODS,
    augmentation,
    becomes_task,
    begin,
    begin_later,
)
from c100k_server.tools import call_inline, call_tool

# completion/complete: "A maximum of 100 items per response".
COMPLETIONS_MAX = 100


class _Meta(msgspec.Struct, rename="camel"):
    progress_token: RequestId | None = None


class _Params(msgspec.Struct, rename="camel"):
    meta: _Meta = msgspec.field(name="_meta", default_factory=_Meta)
    input_responses: Any = None
    request_state: str | None = None


class _CallParams(_Params, kw_only=True):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    task: Any = None


class _ListParams(msgspec.Struct):
    cursor: str | None = None


class _UriParams(_Params, kw_only=True):
    uri: str


class _LevelParams(msgspec.Struct):
    level: str


class _Reference(msgspec.Struct):
    type: str
    name: str | None = None
    uri: str | None = None


class _Argument(msgspec.Struct):
    name: str
    value: str


class _CompletionContext(msgspec.Struct):
    arguments: dict[str, str] = {}


class _CompleteParams(msgspec.Struct):
    ref: _Reference
    argument: _Argument
    context: _CompletionContext = msgspec.field(default_factory=_CompletionContext)


_decode_call_params = msgspec.json.Decoder(_CallParams).decode
_decode_list_params = msgspec.json.Decoder(_ListParams).decode
_decode_uri_params = msgspec.json.Decoder(_UriParams).decode
_decode_level_params = msgspec.json.Decoder(_LevelParams).decode
_decode_complete_params = msgspec.json.Decoder(_CompleteParams).decode
_decode_arguments = msgspec.json.Decoder(dict[str, str]).decode


def _ping(request: Request, params: msgspec.Raw) -> bytes:
    return b"{}"


def _discover(request: Request, params: msgspec.Raw) -> bytes:
    return request.service.stamp(request.service.discovery)


def _list(method: str) -> Handler:
    def handle(request: Request, params: msgspec.Raw) -> bytes:
        service = request.service
        pages = service.pages if request.session is None else service.session_pages
        page = pages[method].get(_decode_list_params(params).cursor)
        if page is None:
            raise RequestError(INVALID_PARAMS, f"{method}: there is no such cursor")
        if request.session is None:
            return service.stamp(service.cacheable(page, service.app.list_ttl_ms, "public"))
        return page

    return handle


def _tools_call(request: Request, params: msgspec.Raw) -> bytes | Coroutine[Any, Any, bytes]:
    call = _decode_call_params(params)
    tool = request.service.app.tools.get(call.name)
    if tool is None:
        raise RequestError(INVALID_PARAMS, f"tools/call: there is no tool {call.name!r}")
    asked = augmentation(request, call.task)
    as_task = becomes_task(request, tool, asked)
    inline = request.service.inline.get(call.name)
    if inline is not None:
        return request.complete(inline(call.arguments))
    arguments = tool.signature.decode(call.arguments)
    _take(request, call, "tools/call", call.name, call.arguments)
    if not as_task:
        if tool.inline and not tool.signature.is_async:
            return request.complete(call_inline(request, tool, arguments))
        return _call(request, tool, arguments)
    work = partial(call_tool, request, tool, arguments)
    if tool.asks_first and request.session is None:
        return begin_later(request, work)
    return begin(request, work, asked)


async def _call(request: Request, tool: Tool, arguments: dict[str, Any]) -> bytes:
    return request.complete(await call_tool(request, tool, arguments))


def _resources_read(request: Request, params: msgspec.Raw) -> Coroutine[Any, Any, bytes]:
    call = _decode_uri_params(params)
    _take(request, call, "resources/read", call.uri, None)
    return _read(request, call.uri)


async def _read(request: Request, uri: str) -> bytes:
    app = request.service.app
    resource, arguments = app.resources.get(uri), {}
    if resource is None:
        for template in app.templates.values():
            matched = template.template.match(uri)
            if matched is not None:
                resource, arguments = template, template.signature.decode(_strings(template.signature.types, matched))
                break
    if resource is None:
        code = INVALID_PARAMS if request.session is None else RESOURCE_NOT_FOUND
        raise RequestError(code, "there is no such resource", {"uri": uri})
    value = await request.call(resource.signature, resource.function, arguments)
    result = encode({"contents": as_resource(value, uri, resource.mime_type)})
    if request.session is None:
        result = request.service.cacheable(result, resource.ttl_ms, resource.cache_scope)
    return request.complete(result)


def _prompts_get(request: Request, params: msgspec.Raw) -> Coroutine[Any, Any, bytes]:
    call = _decode_call_params(params)
    prompt = request.service.app.prompts.get(call.name)
    if prompt is None:
        raise RequestError(INVALID_PARAMS, f"prompts/get: there is no prompt {call.name!r}")
    arguments = prompt.signature.decode(_strings(prompt.signature.types, _decode_arguments(call.arguments)))
    _take(request, call, "prompts/get", call.name, call.arguments)

    async def get() -> bytes:
        value = await request.call(prompt.signature, prompt.function, arguments)
        described = {"description": prompt.listing["description"]} if "description" in prompt.listing else {}
        return request.complete(encode({**described, "messages": as_messages(value)}))

    return get()


def _strings(types: dict[str, Any], values: dict[str, str]) -> bytes:
    """Encode arguments that can only be strings, for a function that may want numbers."""
    return encode({name: _string_as(types.get(name), value) for name, value in values.items()})


def _string_as(wanted: Any, value: str) -> Any:
    if wanted in (int, float, bool):
        return msgspec.convert(value, wanted, strict=False)
    return value


async def _complete(request: Request, params: msgspec.Raw) -> bytes:
    call = _decode_complete_params(params)
    app = request.service.app
    reference = call.ref.name if call.ref.type == "ref/prompt" else call.ref.uri
    known = app.prompts if call.ref.type == "ref/prompt" else {**app.templates, **app.resources}
    if reference is None or reference not in known:
        raise RequestError(INVALID_PARAMS, f"completion/complete: there is no {call.ref.type} {reference!r}")
    completion = app.completions.get((reference, call.argument.name))
    values: list[str] = []
    if completion is not None:
        given = (call.argument.value, call.context.arguments) if completion.wants_context else (call.argument.value,)
        found = completion.function(*given)
        values = list(await found if asyncio.iscoroutine(found) else found)
    shown = values[:COMPLETIONS_MAX]
    result = {"values": shown, "total": len(values), "hasMore": len(values) > len(shown)}
    return request.complete(encode({"completion": result}))


def _subscribe(request: Request, params: msgspec.Raw) -> bytes:
    assert request.session is not None
    request.uses_session = True
    request.session.subscribe(_decode_uri_params(params).uri, request.outlet.standing)
    return b"{}"


def _unsubscribe(request: Request, params: msgspec.Raw) -> bytes:
    assert request.session is not None
    request.uses_session = True
    request.session.unsubscribe(_decode_uri_params(params).uri)
    return b"{}"


def _set_level(request: Request, params: msgspec.Raw) -> bytes:
    level = _decode_level_params(params).level
    if level not in LOG_LEVELS:
        raise RequestError(INVALID_PARAMS, f"logging/setLevel: {level!r} is none of {', '.join(LOG_LEVELS)}")
    assert request.session is not None
    request.uses_session = True
    request.session.set_log_level(level)
    return b"{}"


def _take(request: Request, params: _Params, method: str, name: str, arguments: msgspec.Raw | None) -> None:
    request.progress_token = params.meta.progress_token
    if request.session is None:
        given = msgspec.json.decode(arguments) if arguments is not None else None
        request.take_answers(params.input_responses, params.request_state, method, name, given)


_SHARED: dict[str, Handler] = {
    **{m: _list(m) for m in ("tools/list", "prompts/list", "resources/list", "resources/templates/list")},
    "tools/call": _tools_call,
    "resources/read": _resources_read,
    "prompts/get": _prompts_get,
    "completion/complete": _complete,
}
SESSION_METHODS: dict[str, Handler] = {
    **_SHARED,
    **SESSION_TASK_METHODS,
    **SESSION_REGISTRY_METHODS,
    "ping": _ping,
    "resources/subscribe": _subscribe,
    "resources/unsubscribe": _unsubscribe,
    "logging/setLevel": _set_level,
}
STATELESS_METHODS: dict[str, Handler] = {
    **_SHARED,
    **STATELESS_TASK_METHODS,
    **STATELESS_REGISTRY_METHODS,
    "server/discover": _discover,
}

"""The methods `c100k/registry/*`. Those who have no session, as in 2026-07-28, can find, list and route."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import msgspec

from c100k_server.jsonrpc import encode
from c100k_server.registry.access import ContextRegistry
from c100k_server.registry.entry import PAGE_DEFAULT, Found
from c100k_server.request import Handler, Request


class _NameParams(msgspec.Struct):
    name: str


class _RegisterParams(msgspec.Struct):
    name: str
    value: Any = None


class _BindParams(msgspec.Struct):
    name: str
    to: str


class _ListParams(msgspec.Struct):
    prefix: str = ""
    cursor: str | None = None
    limit: int = PAGE_DEFAULT


class _RouteParams(msgspec.Struct):
    name: str
    message: Any


class _BroadcastParams(msgspec.Struct):
    message: Any


_decode_name = msgspec.json.Decoder(_NameParams).decode
_decode_register = msgspec.json.Decoder(_RegisterParams).decode
_decode_bind = msgspec.json.Decoder(_BindParams).decode
_decode_list = msgspec.json.Decoder(_ListParams).decode
_decode_route = msgspec.json.Decoder(_RouteParams).decode
_decode_broadcast = msgspec.json.Decoder(_BroadcastParams).decode


async def _register(request: Request, params: msgspec.Raw) -> bytes:
    given = _decode_register(params)
    node = await ContextRegistry(request).register(given.name, given.value)
    return encode({"name": given.name, "node": node})


async def _unregister(request: Request, params: msgspec.Raw) -> bytes:
    await ContextRegistry(request).unregister(_decode_name(params).name)
    return b"{}"


async def _bind(request: Request, params: msgspec.Raw) -> bytes:
    given = _decode_bind(params)
    node = await ContextRegistry(request).bind(given.name, given.to)
    return encode({"name": given.name, "boundTo": given.to, "node": node})


def _find(request: Request, params: msgspec.Raw) -> bytes | Coroutine[Any, Any, bytes]:
    name = _decode_name(params).name
    found = ContextRegistry(request).look_up(name)
    if isinstance(found, Coroutine):
        return _find_later(request, name, found)
    return request.complete(_encode_found(name, found))


async def _find_later(request: Request, name: str, found: Coroutine[Any, Any, Found | None]) -> bytes:
    return request.complete(_encode_found(name, await found))


def _encode_found(name: str, found: Found | None) -> bytes:
    return encode({"name": name, "found": False} if found is None else found)


async def _list(request: Request, params: msgspec.Raw) -> bytes:
    given = _decode_list(params)
    return request.complete(encode(await ContextRegistry(request).page(given.prefix, given.cursor, given.limit)))


async def _route(request: Request, params: msgspec.Raw) -> bytes:
    given = _decode_route(params)
    await ContextRegistry(request).route(given.name, given.message)
    return request.complete(b"{}")


async def _broadcast(request: Request, params: msgspec.Raw) -> bytes:
    await ContextRegistry(request).broadcast(_decode_broadcast(params).message)
    return b"{}"


_PREFIX = "c100k/registry/"
STATELESS_REGISTRY_METHODS: dict[str, Handler] = {
    _PREFIX + "find": _find,
    _PREFIX + "list": _list,
    _PREFIX + "route": _route,
}
SESSION_REGISTRY_METHODS: dict[str, Handler] = {
    **STATELESS_REGISTRY_METHODS,
    _PREFIX + "register": _register,
    _PREFIX + "unregister": _unregister,
    _PREFIX + "bind": _bind,
    _PREFIX + "broadcast": _broadcast,
}

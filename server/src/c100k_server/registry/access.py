"""The registry, as functions of an app use it. All of it raises `RegistryError`, which says why and with which code."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from c100k_server.jsonrpc import encode
from c100k_server.registry.entry import (
    BROADCAST_MAX_BYTES,
    MESSAGE_MAX_BYTES,
    PAGE_DEFAULT,
    PAGE_MAX,
    VALUE_MAX_BYTES,
    Found,
    Page,
    Record,
    check_name,
    check_size,
)

if TYPE_CHECKING:
    from c100k_server.registry.registry import Registry
    from c100k_server.request import Request


class AppRegistry:
    """What can be done with names without a session. Call it on the event loop, from async functions."""

    __slots__ = ("_registry",)

    def __init__(self, registry: Callable[[], Registry]) -> None:
        self._registry = registry

    async def find(self, name: str) -> Found | None:
        """Who has a name. `value` is JSON, for `json.loads`."""
        found = self.look_up(name)
        return await found if isinstance(found, Coroutine) else found

    def look_up(self, name: str) -> Found | Coroutine[Any, Any, Found | None] | None:
        """The same, at once where that is possible."""
        check_name(name)
        return self._registry().find(name)

    async def page(self, prefix: str = "", cursor: str | None = None, limit: int = PAGE_DEFAULT) -> Page:
        """Names that begin with a prefix, in the order of their UTF-8; `cursor` is the `next_cursor` of the page
        before. A page may be shorter than `limit` and not be the last."""
        return await self._registry().page(prefix, cursor, min(max(limit, 1), PAGE_MAX))

    async def route(self, name: str, message: Any) -> None:
        """Send the client that has a name a message, JSON, as the notification `notifications/c100k/message`. In a
        cluster it is kept for a client that is away."""
        check_name(name)
        encoded = encode(message)
        check_size(encoded, MESSAGE_MAX_BYTES, "message")
        await self._registry().route(name, encoded)

    async def broadcast(self, message: Any) -> None:
        """Send a message to all clients that offered `c100k/registry`, as `notifications/c100k/broadcast`."""
        encoded = encode(message)
        check_size(encoded, BROADCAST_MAX_BYTES, "broadcast")
        await self._registry().broadcast(encoded)


class ContextRegistry(AppRegistry):
    """The registry for the session of a request."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        super().__init__(lambda: request.service.registry)
        self._request = request

    async def register(self, name: str, value: Any = None) -> str:
        """Give this session a name, or another value under it; the node where it is."""
        return await self._register(name, Record(msgspec.Raw(encode(value))))

    async def bind(self, name: str, target: str) -> str:
        """Give this session a name that leads to another: an alias, which may be bound anew."""
        check_name(target, "target")
        return await self._register(name, Record(msgspec.Raw(b"null"), target))

    async def unregister(self, name: str) -> None:
        """Take a name from this session. It need not have had it."""
        check_name(name)
        self._request.uses_session = True
        await self._registry().unregister(self._request, name)

    async def _register(self, name: str, record: Record) -> str:
        check_name(name)
        check_size(bytes(record.value), VALUE_MAX_BYTES, "value")
        self._request.uses_session = True
        return await self._registry().register(self._request, name, record)

"""What a registry does, wherever the names are."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from c100k_server.registry.entry import Found, Page, Record

if TYPE_CHECKING:
    from c100k_server.request import Request
    from c100k_server.session import Session


class Registry(Protocol):
    """All of it raises `RegistryError`. Names, values and messages have been checked."""

    async def register(self, request: Request, name: str, record: Record) -> str:
        """Give the session of a request a name, or say something else under it; the node."""

    async def unregister(self, request: Request, name: str) -> None:
        """Take a name from the session of a request."""

    def find(self, name: str) -> Found | Coroutine[Any, Any, Found | None] | None:
        """Who has a name: at once, where that is known here."""

    async def page(self, prefix: str, after: str | None, limit: int) -> Page:
        """Names that begin with a prefix, after one, in the order of their UTF-8."""

    async def route(self, name: str, message: bytes) -> None:
        """Send the session that has a name a message, JSON."""

    async def broadcast(self, message: bytes) -> None:
        """Send all sessions that want to know a message, JSON."""

    def leave(self, session: Session) -> None:
        """A session is no longer here."""

    def publish(self, figures: memoryview) -> None:
        """Write down what was done."""

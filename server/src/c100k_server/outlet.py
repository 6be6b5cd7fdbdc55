"""What a transport gives the protocol: a place for the messages that belong to one request, or to a session."""

from __future__ import annotations

from typing import Protocol

from c100k_server.authentication import Principal
from c100k_server.task_store import Owner


class Outlet(Protocol):
    """Messages are encoded, and end with a newline. All of it is called on the event loop only."""

    @property
    def principal(self) -> Principal | None:
        """Who the client has shown to be, where the transport asks."""

    @property
    def standing(self) -> StandingOutlet:
        """Where messages of the session go that belong to no request."""

    @property
    def client(self) -> Owner:
        """Who the messages go to, as far as that is known without a session."""

    def send(self, line: bytes) -> bool:
        """Send a message that is no answer. False when it was dropped, because the client is gone or does not read."""

    def answer(self, line: bytes, error_code: int) -> None:
        """Send the answer to the request, `error_code` being that of JSON-RPC, or 0."""

    def leave(self) -> None:
        """End what belongs to the session: another worker has it by now."""

    def close_stream(self) -> None:
        """Let the client go and come back for the rest, where the transport can."""


class StandingOutlet(Outlet, Protocol):
    """Where messages of a session go that belong to no request."""

    @property
    def open(self) -> bool:
        """Whether `send` would send."""

"""2026-07-28 over Streamable HTTP: a held connection for calls, and the stream of `subscriptions/listen`."""

from __future__ import annotations

import msgspec

from c100k_loadgen.connection import Owner, State
from c100k_loadgen.http_connection import HttpConnection
from c100k_loadgen.http_listener import HttpListener
from c100k_loadgen.http_requests import LENGTH, StatelessRequests
from c100k_loadgen.messages import ACKNOWLEDGED, FIRST_ID, STATELESS_REVISION, Notification, decode_discover


class StatelessConnection(HttpConnection):
    """Each call stands for itself; the connection is live when `server/discover` was answered on it."""

    __slots__ = ("_requests",)

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, requests: StatelessRequests) -> None:
        super().__init__(owner, number, target, attempts, requests.head, LENGTH)
        self._requests = requests

    def begin(self) -> None:
        self._await(FIRST_ID)
        self.write(self._requests.discover)

    def _message(self, message: bytes, now: float) -> None:
        if self.state is State.LIVE:
            self._owner.message_received(self, message, now)
            return
        try:
            answer = decode_discover(message)
        except msgspec.MsgspecError:
            self.fail("garbage")
            return
        if answer.method is not None:
            return
        if answer.id == FIRST_ID and answer.result and STATELESS_REVISION in answer.result.supportedVersions:
            self._live()
        else:
            self.fail("garbage")


class ListenStream(HttpListener):
    """The stream of `subscriptions/listen`, live when the server has acknowledged what was asked for."""

    __slots__ = ("_requests",)

    def __init__(
        self, owner: Owner, number: int, target: str, attempts: int, requests: StatelessRequests, uri: str | None
    ) -> None:
        super().__init__(owner, number, target, attempts, uri)
        self._requests = requests

    def begin(self) -> None:
        self._await(FIRST_ID)
        self.write(self._requests.listen)

    def _notified(self, notification: Notification) -> None:
        if notification.method == ACKNOWLEDGED and self.state is State.OPENING:
            self._live()

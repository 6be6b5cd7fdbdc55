"""A connection that holds an event stream open and hears what comes on it."""

from __future__ import annotations

import functools
import time
from typing import ClassVar

import msgspec

from c100k_loadgen.connection import Owner, State
from c100k_loadgen.http_connection import HttpConnection
from c100k_loadgen.http_framing import STREAMING, FramingError, advance
from c100k_loadgen.messages import RESOURCE_UPDATED, Notification, decode_notification

# Thousands of listeners are told the same in the same bytes, which are read once.
_advance = functools.lru_cache(maxsize=64)(advance)
_decode = functools.lru_cache(maxsize=64)(decode_notification)


class HttpListener(HttpConnection):
    """What the two kinds share. `uri` is the resource that is listened to; `heard` is kept by whoever counts."""

    __slots__ = ("_uri", "heard")

    calls: ClassVar[bool] = False

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, uri: str | None) -> None:
        super().__init__(owner, number, target, attempts, b"", b"")
        self._uri = uri
        self.heard = -1

    def data_received(self, data: bytes) -> None:
        if self._framing is not STREAMING:
            super().data_received(data)
            return
        now = time.monotonic()
        try:
            self._framing, parts = _advance(STREAMING, data, self._owner.message_bound_bytes)
        except FramingError as error:
            self.fail(error.cause)
            return
        for part in parts:
            if self.state is State.ENDED:
                return
            self._take(part, now)

    def _message(self, message: bytes, now: float) -> None:
        try:
            notification = _decode(message)
        except msgspec.MsgspecError:
            self.fail("garbage")
            return
        if notification.method != RESOURCE_UPDATED:
            self._notified(notification)
        elif notification.params is not None and notification.params.uri == self._uri:
            self._owner.heard(self, now)

    def _notified(self, notification: Notification) -> None:
        """Anything else that the server says."""

    def _answered(self, request_id: int) -> None:
        """The server has ended the stream, or never began one."""
        self.fail("stream_ended" if self.state is State.LIVE else "garbage")

    def _refused(self, request_id: int, status: int) -> None:
        self.fail("bad_status")

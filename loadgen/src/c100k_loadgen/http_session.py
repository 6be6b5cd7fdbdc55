"""Sessions over Streamable HTTP, 2025-11-25 and its elders: the connection that calls, and the GET that listens."""

from __future__ import annotations

import msgspec

from c100k_loadgen.connection import Owner, State
from c100k_loadgen.http_connection import NO_ANSWER, HttpConnection
from c100k_loadgen.http_framing import Head, Response
from c100k_loadgen.http_listener import HttpListener
from c100k_loadgen.http_requests import LENGTH, SessionRequests
from c100k_loadgen.messages import FIRST_ID, SUBSCRIBE_ID, accepts, decode_envelope, decode_initialize
from c100k_loadgen.words import of_error

#: What a server says of a session that it does not know, or knows no more.
_NOT_FOUND = 404
#: What it says when it does not let clients end their sessions.
_NOT_ALLOWED = 405

#: Stands for the DELETE where answers are awaited.
_DELETE_ID = -3


class HttpSession(HttpConnection):
    """A session, from `initialize` on, and the calls in it.

    It is live when `notifications/initialized` was accepted, and the subscription, if there is one to be made.
    `farewell` is what the server answered when it was asked to end it.
    """

    __slots__ = ("_accepted", "_requests", "farewell")

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, requests: SessionRequests) -> None:
        super().__init__(owner, number, target, attempts, requests.head, b"")
        self._requests = requests
        self._accepted = False
        self.farewell: str | None = None

    @property
    def session(self) -> bytes:
        """What names this session in its requests."""
        return self._own

    def begin(self) -> None:
        self._await(FIRST_ID)
        self.write(self._requests.initialize)

    def delete(self) -> bool:
        """Ask the server to end the session, if it has given it an id."""
        if self.state is not State.LIVE or self._own == LENGTH:
            return False
        self._await(_DELETE_ID)
        self.write(self._requests.delete(self._own))
        return True

    def _whole(self, response: Response, now: float) -> None:
        if self._awaited != _DELETE_ID:
            super()._whole(response, now)
            return
        self._next_awaited()
        status = response.head.status
        ended = 200 <= status < 300 or status == _NOT_FOUND
        self.farewell = "ended" if ended else "not_allowed" if status == _NOT_ALLOWED else "bad_status"

    def _begun(self, head: Head) -> None:
        if not self._own:
            self._own = self._requests.session(head.session_id)

    def _message(self, message: bytes, now: float) -> None:
        if self.state is State.LIVE:
            self._owner.message_received(self, message, now)
        else:
            self._handshake(message)

    def _handshake(self, message: bytes) -> None:
        try:
            envelope = decode_envelope(message)
            if envelope.method is not None:
                return  # a server may notify (its log, say) before it answers
            if envelope.id == SUBSCRIBE_ID:
                self._accepted = envelope.error is None
            else:
                self._accepted = accepts(decode_initialize(message), self._requests.protocol)
            if envelope.error is not None:
                self._owner.said(of_error(envelope.error))
        except msgspec.MsgspecError:
            self.fail("garbage")

    def _answered(self, request_id: int) -> None:
        if self.state is not State.OPENING:
            return
        accepted, self._accepted = self._accepted, False
        if request_id == NO_ANSWER:
            if self._requests.subscribe is None:
                self._live()
            else:
                self.write(self.frame(SUBSCRIBE_ID, self._requests.subscribe))
        elif not accepted:
            self.fail("garbage")
        elif request_id == SUBSCRIBE_ID:
            self._live()
        else:
            self.send(self._requests.initialized)

    def _refused(self, request_id: int, status: int) -> None:
        if status != _NOT_FOUND or request_id == FIRST_ID:
            super()._refused(request_id, status)
            return
        if self.state is State.LIVE and request_id > 0:
            self._owner.refused(self, request_id, "session_lost")
        self.fail("session_lost")


class SessionStream(HttpListener):
    """The GET of a session: a connection of its own, live when the server has begun the stream."""

    __slots__ = ("_get",)

    def __init__(
        self,
        owner: Owner,
        number: int,
        target: str,
        attempts: int,
        requests: SessionRequests,
        session: HttpSession,
        uri: str | None,
    ) -> None:
        super().__init__(owner, number, target, attempts, uri)
        self._get = requests.stream(session.session)

    def begin(self) -> None:
        self._await(FIRST_ID)
        self.write(self._get)
        self._get = b""

    def _begun(self, head: Head) -> None:
        if head.events:
            self._live()

    def _refused(self, request_id: int, status: int) -> None:
        self.fail("session_lost" if status == _NOT_FOUND else "bad_status")

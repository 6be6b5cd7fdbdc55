"""A kept-alive connection of Streamable HTTP: requests go out framed, and what comes back is cut into messages.

Requests may be sent ahead of their answers, which HTTP/1.1 has come in the same order; so a stalled server is asked on
schedule here too.
"""

from __future__ import annotations

import functools
import time
from abc import abstractmethod
from collections import deque

from c100k_loadgen.connection import Connection, Owner, State
from c100k_loadgen.http_framing import (
    IDLE,
    Ended,
    Framing,
    FramingError,
    Head,
    Part,
    Response,
    advance,
    parse_head,
)
from c100k_loadgen.words import of_response

#: What is awaited in the place of an answer to a message that gets none: 202, and no body.
NO_ANSWER = -2

#: The heads of a server's answers differ by a length and, once a second, by a date.
_known_head = functools.lru_cache(maxsize=256)(parse_head)


class HttpConnection(Connection):
    """What its kinds share. `_head` and `_own` are what stands before the length of a body.

    `_awaited` is the id of the request whose answer is due next: None when there is none, and when there are several
    a queue of them, so that a connection that waits for nothing holds nothing.
    """

    __slots__ = ("_awaited", "_framing", "_head", "_own")

    _awaited: int | deque[int] | None
    _framing: Framing

    def __init__(self, owner: Owner, number: int, target: str, attempts: int, head: bytes, own: bytes) -> None:
        super().__init__(owner, number, target, attempts)
        self._head = head
        self._own = own
        self._framing = IDLE
        self._awaited = None

    def frame(self, request_id: int, body: bytes, routing: bytes = b"") -> bytes:
        self._await(request_id)
        return b"%b%b%b%d\r\n\r\n%b" % (self._head, routing, self._own, len(body), body)

    def send(self, body: bytes) -> None:
        self.write(self.frame(NO_ANSWER, body))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        awaited = self._awaited
        try:
            if self._framing is IDLE and self.state is State.LIVE and type(awaited) is int and awaited > 0:
                # One whole answer, as nearly all data is once the connection is live.
                end = data.find(b"\r\n\r\n")
                if end >= 0:
                    head = _known_head(data[:end])
                    if head.status == 200 and not head.events and head.length == len(data) - end - 4:
                        self._awaited = None
                        self._owner.message_received(self, data[end + 4 :], now)
                        return
            self._framing, parts = advance(self._framing, data, self._owner.message_bound_bytes)
        except FramingError as error:
            self.fail(error.cause)
            return
        for part in parts:
            if self.state is State.ENDED:
                return
            self._take(part, now)

    def _take(self, part: Part, now: float) -> None:
        if isinstance(part, bytes):
            self._message(part, now)
        elif part is Ended.STREAM:
            self._answered(self._next_awaited())
        elif isinstance(part, Response):
            self._whole(part, now)
        elif part.status == 200 and self._awaited is not None:
            self._begun(part)
        else:
            # An error as a stream of events: what it says is not read.
            self.fail("bad_status" if self._awaited is not None else "garbage")

    def _whole(self, response: Response, now: float) -> None:
        if self._awaited is None:
            self.fail("garbage")  # an answer to nothing, such as the 408 of a server that waits no longer
            return
        request_id, status = self._next_awaited(), response.head.status
        if status == 200 and request_id != NO_ANSWER:
            self._begun(response.head)
            self._message(response.body, now)
            if self.state is not State.ENDED:
                self._answered(request_id)
        elif 200 <= status < 300 and request_id == NO_ANSWER:
            self._answered(request_id)
        else:
            self._owner.said(of_response(status, response.body))
            self._refused(request_id, status)

    # What each kind makes of it.

    def _begun(self, head: Head) -> None:
        """An answer with status 200 begins."""

    @abstractmethod
    def _message(self, message: bytes, now: float) -> None:
        """A message of the server, in an answer or on a stream."""

    def _answered(self, request_id: int) -> None:
        """The answer to a request, or an event stream, has come to its end."""

    def _refused(self, request_id: int, status: int) -> None:
        """A request was answered with another status than it should be."""
        if self.state is State.OPENING or request_id == NO_ANSWER:
            self.fail("bad_status")
        else:
            self._owner.refused(self, request_id, "bad_status")

    # Which answer is due.

    def _await(self, request_id: int) -> None:
        awaited = self._awaited
        if awaited is None:
            self._awaited = request_id
        elif isinstance(awaited, int):
            self._awaited = deque((awaited, request_id))
        else:
            awaited.append(request_id)

    def _next_awaited(self) -> int:
        awaited = self._awaited
        if isinstance(awaited, int):
            self._awaited = None
            return awaited
        if awaited is None:
            raise ValueError("no answer is awaited")
        request_id = awaited.popleft()
        if len(awaited) == 1:
            self._awaited = awaited[0]
        return request_id

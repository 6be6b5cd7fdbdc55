"""After the hold: each session reads its counter, to be held against what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from c100k_loadgen.connection import Connection
from c100k_loadgen.messages import (
    SESSION_MOVED,
    STATE_UNAVAILABLE,
    decode_session_message,
    read_request,
    reply_to,
)
from c100k_loadgen.resumable import ResumableSession

#: Reads that are under way at a time.
_AT_ONCE = 64
_RETRY_LEAST_S = 0.1

#: session, acked, last operation, counter
OnCounter = Callable[[int, int, int, int | None], None]


class ReadBack(Protocol):
    """What sessions are asked for after the hold."""

    async def run(self, bound_s: float) -> None:
        """Until all is read, or for `bound_s`."""

    def end(self) -> None:
        """Leave what is not read yet."""

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        """One message from a session that is live."""

    def lost(self, session: ResumableSession) -> None:
        """It is away, and will be asked when it is resumed."""

    def resumed(self, session: ResumableSession) -> None:
        """It can be asked now."""


class Verification:
    """Reads the counters of `sessions`, by requests with ids from `first_id` on.

    `on_counter` gets each, in the end also those that could not be read. `heard_from` counts the messages of a target.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sessions: Sequence[ResumableSession],
        first_id: int,
        heard_from: Counter[str],
        on_counter: OnCounter,
    ) -> None:
        self._loop = loop
        self._unread = set(sessions)
        self._waiting = deque(sessions)
        self._asked: dict[int, ResumableSession] = {}
        self._next_id = first_id
        self._heard_from = heard_from
        self._on_counter = on_counter
        self._done = asyncio.Event()

    async def run(self, bound_s: float) -> None:
        """Until all are read, or for `bound_s`."""
        self._ask()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), bound_s)
        for session in list(self._unread):
            self._settle(session, None)

    def end(self) -> None:
        """Leave those that are not read yet."""
        self._done.set()

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        """One message from a session that is live."""
        self._heard_from[connection.target] += 1
        try:
            message = decode_session_message(line)
        except msgspec.MsgspecError:
            connection.fail("garbage")
            return
        if message.method is not None:
            if message.id is not None:
                connection.send(reply_to(message.id, message.method))
            return
        session = self._asked.pop(message.id, None)  # type: ignore[arg-type]
        if session is None:
            return  # to one of those that were given up
        error, result = message.error, message.result
        if error is not None and error.code == SESSION_MOVED:
            connection.fail("moved")
        elif error is not None and error.code == STATE_UNAVAILABLE:
            wait_s = max(_RETRY_LEAST_S, error.retry_after_s) * random.uniform(1, 1.5)
            self._loop.call_later(wait_s, self.resumed, session)
        else:
            count = result.structuredContent if error is None and result is not None else None
            self._settle(session, count.n if count is not None else None)
        self._ask()

    def lost(self, session: ResumableSession) -> None:
        """It is away, and will be asked when it is resumed."""
        for request_id in [each for each, asked in self._asked.items() if asked is session]:
            del self._asked[request_id]
        self._ask()

    def resumed(self, session: ResumableSession) -> None:
        """It can be asked now."""
        if session in self._unread:
            self._waiting.append(session)
            self._ask()

    def _ask(self) -> None:
        while self._waiting and len(self._asked) < _AT_ONCE:
            session = self._waiting.popleft()
            if session.live and session.connection is not None:
                self._asked[self._next_id] = session
                session.connection.write(read_request(self._next_id))
                self._next_id += 1
        if not self._unread:
            self._done.set()

    def _settle(self, session: ResumableSession, counter: int | None) -> None:
        if session in self._unread:  # one that has changed its connection may have been asked twice
            self._unread.remove(session)
            self._on_counter(session.number, session.acked, session.operation, counter)

"""Fan-out: at agreed moments a resource of each target changes, and every listener must hear of it exactly once.

A notification says that something has changed and not which change it means, so it counts for the publish before it:
a listener that hears nothing before the next one has missed it. Only those take part who listened at the first moment.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import NamedTuple, cast

import msgspec

from c100k_loadgen.connection import Connection
from c100k_loadgen.http_listener import HttpListener
from c100k_loadgen.messages import decode_message, publish_request, reply_to
from c100k_loadgen.opener import Opener
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Recorder
from c100k_loadgen.tally import Tally

#: What a listener that came too late has heard: more than there will ever be.
_TAKES_NO_PART = 1 << 30


class Heard(NamedTuple):
    """What the listeners of one target made of one publish; `moment` and `last_at` are `time.monotonic` seconds."""

    moment: float
    target: str
    listeners: int
    delivered: int
    duplicated: int
    last_at: float | None


class Published(NamedTuple):
    """One publish: when it was meant to be and was sent, and its answer or what came instead."""

    moment: float
    target: str
    sent_at: float | None
    answered_at: float | None
    cause: str


class _Window:
    """From one publish to the next, at one target."""

    __slots__ = ("delivered", "duplicated", "last_at", "listeners")

    def __init__(self, listeners: int) -> None:
        self.listeners = listeners
        self.delivered = self.duplicated = 0
        self.last_at: float | None = None


class Audience:
    """The listeners of one worker. `moments` are when publishes are meant to be, the last one is the end of the last.

    `on_heard` gets what became of each publish when its time is over.
    """

    def __init__(self, tally: Tally, moments: list[float], on_heard: Callable[[Heard], None]) -> None:
        self.live: list[HttpListener] = []
        self.recorder = Recorder()
        self._tally = tally
        self._moments = moments
        self._on_heard = on_heard
        self._publish = -1  # the one whose time it is
        self._next_at = moments[0] if moments else math.inf
        self._taking_part: dict[str, int] = {}
        self._windows: dict[str, _Window] = {}

    def add(self, connection: Connection) -> None:
        listener = cast(HttpListener, connection)
        self.advance(time.monotonic())
        listener.place = len(self.live)
        self.live.append(listener)
        if self._publish < 0:
            self._taking_part[listener.target] = self._taking_part.get(listener.target, 0) + 1
        else:
            listener.heard = _TAKES_NO_PART

    def remove(self, connection: Connection) -> None:
        listener = cast(HttpListener, connection)
        self.advance(time.monotonic())  # who goes after the moment has missed it
        last = self.live.pop()
        if last is not listener:
            last.place = listener.place
            self.live[listener.place] = last
        if listener.heard != _TAKES_NO_PART:
            self._taking_part[listener.target] -= 1

    def heard(self, connection: Connection, now: float) -> None:
        """A listener was told that the resource has changed."""
        listener = cast(HttpListener, connection)
        if now >= self._next_at:
            self.advance(now)
        window = self._windows.get(listener.target)
        if window is None:
            self._tally.message_error(self._tally.phase, listener.target, "unpublished")
        elif listener.heard < self._publish:
            listener.heard = self._publish
            window.delivered += 1
            window.last_at = now
            self.recorder.record(int((now - self._moments[self._publish]) * 1e6))
        elif listener.heard == self._publish:
            window.duplicated += 1

    def advance(self, now: float) -> None:
        """Begin the time of the publishes whose moment has come."""
        while now >= self._next_at:
            self.finish()
            self._publish += 1
            last = self._publish == len(self._moments) - 1
            self._next_at = math.inf if last else self._moments[self._publish + 1]
            if not last:
                self._windows = {target: _Window(count) for target, count in self._taking_part.items()}

    def finish(self) -> None:
        """The time of a publish is over."""
        windows, self._windows = self._windows, {}
        for target, window in windows.items():
            self._on_heard(
                Heard(
                    self._moments[self._publish],
                    target,
                    window.listeners,
                    window.delivered,
                    window.duplicated,
                    window.last_at,
                )
            )


class Publisher:
    """Calls the tool that changes the resource of one target, over a connection of its own."""

    def __init__(
        self,
        tally: Tally,
        opener: Opener,
        target: str,
        tool: str,
        on_published: Callable[[Published], None],
        *,
        stateless: bool,
        bounds: tuple[int, int],
    ) -> None:
        self.write_bound_bytes, self.message_bound_bytes = bounds
        self.message_received: Callable[[Connection, bytes, float], None] = self._received
        self.said: Callable[[str], None] = tally.words.add
        self.connection: Connection | None = None
        self._tally = tally
        self._opener = opener
        self._target = target
        self._tool = tool
        self._on_published = on_published
        self._stateless = stateless
        self._request_id = 0
        self._moment = 0.0
        self._sent_at: float | None = None

    def publish(self, moment: float) -> None:
        """Publish what is meant to be published at `moment`."""
        self.finish("timeout")
        self._moment = moment
        if self.connection is None:
            self._on_published(Published(moment, self._target, None, None, "not_connected"))
            return
        self._request_id += 1
        self._sent_at = time.monotonic()
        body = publish_request(self._request_id, self._tool, stateless=self._stateless)
        self.connection.write(self.connection.frame(self._request_id, body))

    def finish(self, cause: str) -> None:
        """No answer to the last publish is waited for any more."""
        self._answered(None, cause)

    def _answered(self, answered_at: float | None, cause: str) -> None:
        sent_at, self._sent_at = self._sent_at, None
        if sent_at is not None:
            self._on_published(Published(self._moment, self._target, sent_at, answered_at, cause))

    def _received(self, connection: Connection, line: bytes, now: float) -> None:
        try:
            message = decode_message(line)
        except msgspec.MsgspecError:
            connection.fail("garbage")
            return
        if message.method is not None:
            if message.id is not None:
                connection.send(reply_to(message.id, message.method))
        elif message.id == self._request_id:
            good = message.error is None and message.result is not None and not message.result.isError
            self._answered(now, "" if good else "rpc_error")

    # What its connection asks and tells.

    @property
    def phase(self) -> Phase:
        return self._tally.opening_phase

    def opened(self, connection: Connection) -> None:
        self._opener.opened(connection)
        self._tally.opened()
        self.connection = connection

    def opening_failed(self, connection: Connection, cause: str) -> None:
        self._tally.connect_error(connection.phase, connection.target, cause)
        self._opener.failed(connection)

    def ended(self, connection: Connection, cause: str) -> None:
        self.connection = None
        self._tally.closed(connection.target, cause)
        self._answered(None, "connection_lost")
        if cause != "stop":
            self._opener.again(connection.number, 0)

    def refused(self, connection: Connection, request_id: int, cause: str) -> None:
        self._answered(None, cause)

    def heard(self, connection: Connection, now: float) -> None:
        """It does not listen."""


class Conductor:
    """Wakes at each moment, so that the audience knows and the publishers publish."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, moments: list[float], audience: Audience, publishers: list[Publisher]
    ) -> None:
        self._loop = loop
        self._moments = moments
        self._audience = audience
        self._publishers = publishers
        self._next = 0
        self._arm()

    def _arm(self) -> None:
        if self._next < len(self._moments):
            wait_ms = math.ceil((self._moments[self._next] - time.monotonic()) * 1000)
            self._loop.call_later(max(0, wait_ms) / 1000, self._wake)

    def _wake(self) -> None:
        moment, now = self._moments[self._next], time.monotonic()
        if now >= moment:  # a timer may fire a little early
            self._next += 1
            self._audience.advance(now)
            for publisher in self._publishers:
                if self._next < len(self._moments):
                    publisher.publish(moment)
        self._arm()

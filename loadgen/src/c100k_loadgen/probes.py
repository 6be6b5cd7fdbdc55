"""Who is there: each worker pings each target over a connection of its own, and takes silence for death.

A host that loses its power or its network says no goodbye. The connections to it would wait for their answers for long;
the probe does not, and speaks for all of them. Nor does it take a target for dead that is only slow: as long as any
connection of the worker hears from it, it lives.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping

import msgspec

from c100k_loadgen import plan
from c100k_loadgen.connection import Connection
from c100k_loadgen.messages import decode_envelope, ping_request, reply_to
from c100k_loadgen.opener import Destination, Opener
from c100k_loadgen.phases import Phase
from c100k_loadgen.tally import Tally
from c100k_loadgen.tcp import TcpSession


class Probe:
    """Watches one target from `start` on. `on_dead` is told of its death, once until it answers again. `heard_from` is
    how many messages of each target the worker has got.

    Time is counted in pings, which go out at every look: a pause of this process is no silence of the target. Until
    it has answered for the first time, the target is given credit. Failed attempts to connect are not counted: they are
    looks at the target, and no load.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tally: Tally,
        opener: Opener,
        to: Destination,
        number: int,
        protocol: str,
        settings: plan.Probe,
        on_dead: Callable[[str], None],
        heard_from: Mapping[str, int],
        start: float,
        *,
        bounds: tuple[int, int],
    ) -> None:
        self.write_bound_bytes, self.message_bound_bytes = bounds
        self.message_received: Callable[[Connection, bytes, float], None] = self._received
        self.said: Callable[[str], None] = tally.words.add
        self.connection: Connection | None = None
        self.up = True
        self._loop = loop
        self._tally = tally
        self._opener = opener
        self._to = to
        self._number = number
        self._protocol = protocol
        self._settings = settings
        self._on_dead = on_dead
        self._heard_from = heard_from
        self._heard = 0
        self._silent_looks = math.ceil(settings.silence_s / settings.every_s)
        self._opening: Connection | None = None
        self._pings = 0
        self._answered = False  # since it was dead, or ever
        self._looks = 0  # since the worker heard of it, or since another attempt to connect
        self._timer = loop.call_later(max(0.0, start - loop.time()), self._look)

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
        for connection in (self.connection, self._opening):
            if connection is not None:
                connection.close()

    def _look(self) -> None:
        self._timer = self._loop.call_later(self._settings.every_s, self._look)
        heard = self._heard_from[self._to.name]
        self._looks = self._looks + 1 if heard == self._heard else 0
        self._heard = heard
        if self._looks >= self._silent_looks:
            self._dead()
        if self.connection is not None:
            self._pings += 1
            self.connection.write(ping_request(self._pings))
        elif self._opening is None:
            self._opening = TcpSession(self, self._number, self._to.name, 0, self._protocol)
            self._opener.begin(self._opening, self._to)

    def _dead(self) -> None:
        """Try another connection, and have those of others given up, unless that was done before."""
        answered, self.up, self._answered = self._answered, False, False
        self._looks = 0
        if self.connection is not None:
            self.connection.fail("target_dead")
        elif self._opening is not None:
            self._opener.give_up(self._opening, "timeout")
        if answered:
            self._on_dead(self._to.name)

    def _received(self, connection: Connection, line: bytes, now: float) -> None:
        try:
            message = decode_envelope(line)
        except msgspec.MsgspecError:
            connection.fail("garbage")
            return
        if message.method is not None:
            if message.id is not None:
                connection.send(reply_to(message.id, message.method))
        else:
            self.up = self._answered = True
            self._looks = 0

    # What its connection asks and tells.

    @property
    def phase(self) -> Phase:
        return self._tally.opening_phase

    def opened(self, connection: Connection) -> None:
        self._opener.done(connection)
        self._tally.opened()
        self._opening, self.connection = None, connection

    def opening_failed(self, connection: Connection, cause: str) -> None:
        self._opener.done(connection)
        self._opening = None
        self.up = False

    def ended(self, connection: Connection, cause: str) -> None:
        self._tally.closed(connection.target, cause)
        self.connection = None
        self.up = False

    def refused(self, connection: Connection, request_id: int, cause: str) -> None:
        """There are no answers of HTTP here."""

    def heard(self, connection: Connection, now: float) -> None:
        """It does not listen."""

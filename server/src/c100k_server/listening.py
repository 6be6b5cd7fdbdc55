"""What the listeners of all transports do alike: count, limit, time out and drain connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Protocol

from c100k_server.config import ConnectionLimits
from c100k_server.service import Service
from c100k_server.statistics import BYTES_RECEIVED, BYTES_SENT, held

# How many connections a drain, or their deadline, closes before it lets the others be served.
CLOSE_BATCH = 256


class Listened(Protocol):
    """A connection."""

    def abort(self, cause: str) -> None: ...
    def finish_when_idle(self) -> None: ...
    def time_out(self) -> None: ...


class Closable(Protocol):
    """What accepts connections."""

    def close(self) -> None: ...


class Listening:
    """Holds connections and what they share. `check_deadlines` must be called a few times per second."""

    def __init__(self, transport: str, service: Service, limits: ConnectionLimits, connections_max: int) -> None:
        self.transport = transport
        self.service = service
        self.latency = service.latency
        # Published by the beat: to count them in shared memory would cost three times as much.
        self.bytes_received = 0
        self.bytes_sent = 0
        self.figures = service.figures
        self.limits = limits
        self.connections_max = connections_max
        self.connections: dict[Listened, str | None] = {}
        # When to abort whom: peers that do not read, do not send, or do not close.
        self.deadlines: dict[Listened, float] = {}
        self.draining = False
        # Files that are held beside those of counted connections.
        self.uncounted = 0
        self._peers: Counter[str] = Counter()
        self._emptied = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._server: Closable | None = None

    def admit(self, connection: Listened, peer: object) -> str | None:
        """Take a connection in; the cause under which it is to be closed at once, if it is."""
        address = None
        if self.limits.per_peer_max and isinstance(peer, tuple):
            address = str(peer[0])
            self._peers[address] += 1
        self.connections[connection] = address
        if held(self.figures) + self.uncounted > self.connections_max:
            return "full"
        if address is not None and self._peers[address] > self.limits.per_peer_max:
            return "peer_limit"
        return "drain" if self.draining else None

    def replace(self, connection: Listened, successor: Listened) -> None:
        """Have a connection go on as another object."""
        self.connections[successor] = self.connections.pop(connection)
        self.deadlines.pop(connection, None)

    def forget(self, connection: Listened) -> None:
        """A connection is gone."""
        address = self.connections.pop(connection, None)
        if address is not None:
            self._peers[address] -= 1
            if not self._peers[address]:
                del self._peers[address]
        self.deadlines.pop(connection, None)
        if self.draining and not self.connections:
            self._emptied.set()

    def publish(self) -> None:
        """Publish the bytes. Call a few times per second."""
        self.figures[BYTES_RECEIVED[self.transport]] = self.bytes_received
        self.figures[BYTES_SENT[self.transport]] = self.bytes_sent

    def check_deadlines(self) -> None:
        """End the connections whose peer did not do in time what it had to."""
        now = self._loop.time()
        late = [connection for connection, deadline in self.deadlines.items() if deadline <= now]
        for connection in late[:CLOSE_BATCH]:
            del self.deadlines[connection]
            connection.time_out()
        if len(late) > CLOSE_BATCH:
            self._loop.call_soon(self.check_deadlines)

    def set_deadline(self, connection: Listened, wait_s: float) -> None:
        """Time `connection` out in `wait_s`, or when that was to be done anyhow."""
        self.deadlines.setdefault(connection, self._loop.time() + wait_s)

    async def drain(self, drain_s: float) -> None:
        """Stop accepting, let every connection finish what is in flight, and close all within `drain_s`."""
        end = self._loop.time() + drain_s
        if self._server is not None:
            self._server.close()
        self.draining = True
        # One turn of the loop reads what had arrived by now.
        await asyncio.sleep(0)
        for position, connection in enumerate(list(self.connections)):
            if position % CLOSE_BATCH == 0:
                await asyncio.sleep(0)
            connection.finish_when_idle()
        if not self.connections:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await self._emptied.wait()
        for connection in list(self.connections):
            connection.abort("drain")
        await self._emptied.wait()


def address_of(transport: asyncio.Transport) -> str:
    """The address of the peer without its port; empty on a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""

"""A worker's listeners on a real event loop, and one client at a time on a socket pair that plays an input to them.

An input is the bytes that a client sends, with instructions between them: bytes that UTF-8 never has.
"""

from __future__ import annotations

import asyncio
import gc
import io
import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from c100k_server.config import ConnectionLimits, HttpConfig
from c100k_server.http_endpoint import HttpListener
from c100k_server.listening import Listening
from c100k_server.service import Service
from c100k_server.statistics import CLOSED, HTTP_REQUESTS, OPENED, RECEIVED, SENT, StatisticsBoard
from c100k_server.task_store import MemoryTaskStore
from c100k_server.tcp import TcpListener
from fuzz.app import IntendedError, make_app
from fuzz.judge import Finding, require

SETTLE = b"\xf8"  # wait until the server has nothing more to do
STOP_READING = b"\xf9"
READ_AGAIN = b"\xfa"
TIME_PASSES = b"\xfb"  # all deadlines are reached
PUBLISH = b"\xfc"  # the app says that its lists and a resource have changed
DRAIN = b"\xfd"
RESET = b"\xf5"  # the client vanishes
ANOTHER = b"\xf6"  # what follows comes from another client
INSTRUCTIONS = re.compile(rb"([\xf5\xf6\xf8-\xfd])")

LIMITS = ConnectionLimits(max_line_bytes=8192, write_buffer_bytes=4096, slow_reader_s=5.0)
HTTP = HttpConfig(hosts=("example.org",), origins=("https://example.org",), max_header_bytes=2048, sessions_max=8)
STATE_KEY = bytes(32)
# Processor time, which others on the machine do not take from us.
HANG_S = 1.0
CLIENTS_MAX = 3
# From a byte that arrives to the request that it completes, and from there to the next that was sent ahead.
QUIET_TURNS = 10


class Client:
    """The other end of a connection under test; reads all that comes unless it was told not to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.socket, self.served = socket.socketpair()
        self.socket.setblocking(False)
        # A kernel that takes little lets small inputs fill the server's own buffer.
        self.served.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.received = bytearray()
        self.closed = False
        self._reading = False
        self.read()

    def read(self) -> None:
        if not self._reading and not self.closed:
            self._reading = True
            self._loop.add_reader(self.socket, self._receive)

    def stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self.socket)

    def reset(self) -> None:
        """Close, which is a reset when there is something that was not read."""
        self.close()
        self.closed = True

    def half_close(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.closed = True

    def close(self) -> None:
        self.stop_reading()
        self.socket.close()

    async def send(self, data: bytes) -> None:
        try:
            await self._loop.sock_sendall(self.socket, data)
        except OSError:
            # The server has closed already; what it said before is in `received`.
            return

    def has_ended(self) -> bool:
        """Whether the server has closed, by a look: a reader that was taken off and put on again may sleep on."""
        if self._reading:
            self._receive()
        return self.closed

    def _receive(self) -> None:
        try:
            data = self.socket.recv(262_144)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        self.received += data
        if not data:
            self.closed = True
            self.stop_reading()


class Outcome:
    """What became of a played input: what each client received, and why connections ended, in no order."""

    def __init__(self, received: list[bytes], causes: list[str], figures: list[int]) -> None:
        self.received = received
        self.causes = causes
        # By how much the worker's figures grew.
        self.figures = figures


class Bench:
    """One worker's worth of server, for all inputs of a process."""

    def __init__(self, patience_s: float = 20.0) -> None:
        self._patience_s = patience_s
        self.loop = uvloop.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._complaints: list[str] = []
        self.loop.set_exception_handler(self._on_exception)
        self.app, self.waiting = make_app()
        self.figures = StatisticsBoard.create(1).row(0)
        self.loop.run_until_complete(self._open())
        self._played = 0

    async def _open(self) -> None:
        self.service = Service(self.app, self.figures, STATE_KEY, self.loop)
        self.tcp = TcpListener("tcp", self.service, LIMITS, 100)
        self.http = HttpListener(self.service, 0, LIMITS, HTTP, 100, None, is_local=True)

    def close(self) -> None:
        self.service.close()
        self.loop.close()

    def play(
        self,
        listener: Listening,
        protocol: Callable[[], asyncio.Protocol],
        data: bytes,
        cut: Callable[[bytes], list[bytes]],
    ) -> Outcome:
        """Play an input, each run of its bytes in the segments that `cut` makes of it. Raises `Finding`."""
        with self.watched():
            return self.loop.run_until_complete(self._play(listener, protocol, data, cut))

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise `Finding` for what the loop or the log complains of, for what takes too long, and for what is left."""
        log, stderr = io.StringIO(), sys.stderr
        sys.stderr = log
        started = time.process_time()
        try:
            yield
        finally:
            sys.stderr = stderr
        spent = time.process_time() - started
        self._played += 1
        if self._played % 500 == 0:
            # Only now exceptions that nobody looked at are told of.
            gc.collect()
        require(not self._complaints, "the loop complains", *self._complaints)
        for line in log.getvalue().splitlines():
            require(line.startswith("{"), "on stderr", log.getvalue())
            event = json.loads(line)
            require(event["event"] == "app_error" and IntendedError.__name__ in event["error"], "an event", event)
        require(spent < HANG_S, "processor seconds for one input", spent)
        left = self.left()
        require(not any(left.values()), "something is left", left)

    def left(self) -> dict[str, int]:
        """What must be gone once there are no clients."""
        subscriptions = self.service.subscriptions
        return {
            "connections": len(self.tcp.connections) + len(self.http.connections),
            "deadlines": len(self.tcp.deadlines) + len(self.http.deadlines),
            "active": len(self.http.active),
            "sessions": len(self.http.sessions._by_id),
            "topics": len(subscriptions._topics),
            "events": len(subscriptions._waiting),
            "tasks": len(asyncio.all_tasks(self.loop)),
            "waiting": self.waiting.count,
            "tasks of clients": len(self.service.tasks._running),
            "threads": len(self.service.in_threads),
            "held": self.figures[OPENED] - sum(self.figures[cell] for cell in CLOSED.values()),
        }

    async def settle(self) -> None:
        """Until whatever is under way waits for a client."""
        quiet_turns = turn = 0
        before: list[int] = []
        end = self.loop.time() + self._patience_s
        while self.loop.time() < end:
            turn += 1
            # Threads of the app, on a busy machine, want some time.
            await asyncio.sleep(0 if turn < 100 else 0.001)
            requests = [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Request._wait"]
            now = [self.figures[cell] for cell in (RECEIVED, SENT, HTTP_REQUESTS)]
            quiet_turns = quiet_turns + 1 if now == before and len(requests) <= self.waiting.count else 0
            before = now
            if quiet_turns == QUIET_TURNS:
                return
        raise Finding(f"the server does not come to rest: {asyncio.all_tasks()}")

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        turn, end = 0, self.loop.time() + self._patience_s
        while self.loop.time() < end:
            if condition():
                return
            turn += 1
            await asyncio.sleep(0 if turn < 100 else 0.001)
        raise Finding(f"not in time: {what}; {self.left()}")

    async def _play(
        self,
        listener: Listening,
        protocol: Callable[[], asyncio.Protocol],
        data: bytes,
        cut: Callable[[bytes], list[bytes]],
    ) -> Outcome:
        before = self.figures.tolist()
        clients = [await self._connect(protocol)]
        drains: list[asyncio.Task[None]] = []
        for piece in INSTRUCTIONS.split(data):
            if piece == ANOTHER and len(clients) < CLIENTS_MAX and not drains:
                clients.append(await self._connect(protocol))
            elif INSTRUCTIONS.fullmatch(piece):
                await self._obey(piece, listener, clients[-1], drains)
            elif not clients[-1].closed:
                for segment in cut(piece):
                    await clients[-1].send(segment)
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
        for client in clients:
            client.read()
        await self.settle()
        for client in clients:
            await self._leave(listener, client)
        for drain in drains:
            await drain
        await self.until(lambda: not listener.connections, "the connection is forgotten")
        listener.draining = False
        listener._emptied.clear()
        figures = [now - then for now, then in zip(self.figures.tolist(), before, strict=True)]
        causes = [cause for cause, cell in CLOSED.items() for _ in range(figures[cell])]
        require(figures[OPENED] == len(causes) == len(clients), "each connection is closed once", causes)
        for session_id in list(self.http.sessions._by_id):
            self.http.sessions.close(session_id)
        # Tasks of 2026-07-28 outlive connections, and are kept for the clients to come back.
        for owner in list(self.service.tasks._by_owner):
            self.service.tasks.abandon(owner)
        self.service.tasks._store = MemoryTaskStore()
        await self.until(lambda: len(asyncio.all_tasks()) == 1, "tasks end with their clients")
        return Outcome([bytes(client.received) for client in clients], causes, figures)

    async def _connect(self, protocol: Callable[[], asyncio.Protocol]) -> Client:
        client = Client(self.loop)
        await self.loop.connect_accepted_socket(protocol, client.served)
        return client

    async def _leave(self, listener: Listening, client: Client) -> None:
        if not client.closed:
            client.half_close()
            await self.until(
                lambda: client.has_ended() or self._has_enough(listener), "the server closes when the client has"
            )
        client.close()
        # Those that have read enough for now find out by writing.
        for streaming in list(self.http.active):
            streaming.keep_streaming()

    async def _obey(
        self, instruction: bytes, listener: Listening, client: Client, drains: list[asyncio.Task[None]]
    ) -> None:
        if instruction == SETTLE:
            await self.settle()
        elif instruction == STOP_READING:
            client.stop_reading()
        elif instruction == READ_AGAIN:
            client.read()
        elif instruction == TIME_PASSES:
            for connection in listener.deadlines:
                listener.deadlines[connection] = 0.0
            listener.check_deadlines()
            for streaming in list(self.http.active):
                streaming.keep_streaming()
        elif instruction == PUBLISH:
            self.app.changed("tools")
            self.app.updated("test://static")
        elif instruction == DRAIN and not drains:
            drains.append(self.loop.create_task(listener.drain(HANG_S)))
        elif instruction == RESET:
            client.reset()

    def _has_enough(self, listener: Listening) -> bool:
        """Whether an HTTP connection does not read, because the client is too far ahead."""
        return listener is self.http and any(not each._transport.is_reading() for each in listener.connections)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._complaints.append(f"{context.get('message')}: {context.get('exception')!r}")


def whole(piece: bytes) -> list[bytes]:
    """One segment."""
    return [piece] if piece else []


def cutting(seed: int) -> Callable[[bytes], list[bytes]]:
    """Segments of one to 64 bytes, always the same ones for a seed."""

    def cut(piece: bytes) -> list[bytes]:
        segments, state, position = [], seed | 1, 0
        while position < len(piece):
            state = state * 1103515245 + 12345 & 0x7FFFFFFF
            size = 1 + (state >> 16) % (64 if len(segments) < 16 else 1024)
            segments.append(piece[position : position + size])
            position += size
        return segments

    return cut

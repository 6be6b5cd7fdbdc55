"""Events of the whole cluster, in one Redis stream that every worker reads and remembers the end of."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from c100k_server.redis import CommandError, StateUnavailableError

if TYPE_CHECKING:
    from c100k_server.redis.cluster import Cluster

KEY = "c100k:events"
# What the stream keeps, and each worker for clients that come back.
EVENTS_MAX = 10_000
# How long a read waits in Redis: less than what the client takes for the silence of a dead master.
BLOCK_MS = 250
READ_MAX = 500
RETRY_S = 0.1

Position: TypeAlias = tuple[int, int]


class EventStream:
    """`publish` tells all workers of a topic, this one among them; each calls `on_event` with topic and id.

    `flush` must be called a few times per second. `reader` is a client of its own, as reads block its connection; they
    read this worker's `mailbox` along, a stream in the same slot, whose words go to `on_mail`.
    """

    def __init__(
        self,
        redis: Cluster,
        reader: Cluster,
        on_event: Callable[[str, bytes], None],
        mailbox: str,
        on_mail: Callable[[list[str]], None],
    ) -> None:
        self._redis = redis
        self._reader = reader
        self._on_event = on_event
        self._mailbox = mailbox
        self._on_mail = on_mail
        self._mail_id = b"0-0"
        self._recent: deque[tuple[Position, str]] = deque(maxlen=EVENTS_MAX)
        # The position before the first event that is remembered.
        self._known_from: Position | None = None
        self._unsent: dict[str, None] = {}
        self._task: asyncio.Task[None] | None = None
        self.last_id = b"0-0"
        self._begun = asyncio.Event()

    async def start(self, timeout_s: float) -> None:
        """Returns when nothing that happens from then on is missed, or after `timeout_s`: it is tried for ever."""
        self._task = asyncio.get_running_loop().create_task(self._read())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._begun.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def publish(self, topic: str) -> None:
        """What cannot be told while Redis is away is told afterwards, once."""
        self.send(topic).add_done_callback(partial(self._published, topic))

    def send(self, topic: str) -> asyncio.Future[Any]:
        """Tell of it now or not at all."""
        return self._redis.execute(KEY, "XADD", KEY, "MAXLEN", "~", EVENTS_MAX, "*", "t", topic, durable=True)

    def flush(self) -> None:
        """Tell what could not be told."""
        if self._unsent and self._redis.healthy:
            unsent, self._unsent = self._unsent, {}
            for topic in unsent:
                self.publish(topic)

    def since(self, event_id: bytes) -> Iterator[tuple[str, bytes]]:
        """Topics of events after that of an id, each with the id of its last event; the topic is empty, for all that
        there are, when more has happened than is remembered."""
        position = read_position(event_id)
        if self._known_from is None or position < self._known_from:
            yield "", self.last_id
            return
        latest: dict[str, Position] = {}
        for at, topic in reversed(self._recent):
            if at <= position:
                break
            latest.setdefault(topic, at)
        for topic, at in reversed(latest.items()):
            yield topic, b"%d-%d" % at

    def _published(self, topic: str, added: asyncio.Future[Any]) -> None:
        if not added.cancelled() and added.exception() is not None and len(self._unsent) < EVENTS_MAX:
            self._unsent[topic] = None

    async def _read(self) -> None:
        while True:
            try:
                if self._known_from is None:
                    await self._remember()
                    self._begun.set()
                reply = await self._reader.execute(
                    KEY,
                    *("XREAD", "COUNT", READ_MAX, "BLOCK", BLOCK_MS, "STREAMS"),
                    *(KEY, self._mailbox, self.last_id, self._mail_id),
                )
            except (StateUnavailableError, CommandError):
                await asyncio.sleep(RETRY_S)
                continue
            for key, entries in (reply or {}).items():
                if key == KEY.encode():
                    self._hear(entries)
                else:
                    self._mail_id = entries[-1][0]
                    self._on_mail([name for _, fields in entries for name in fields[1].decode().split(" ")])

    def _hear(self, entries: list[tuple[bytes, list[bytes]]]) -> None:
        for event_id, fields in entries:
            self.last_id = event_id
            topic = fields[1].decode()
            self._recent.append((read_position(event_id), topic))
            self._on_event(topic, event_id)
        if len(self._recent) == EVENTS_MAX:
            self._known_from = self._recent[0][0]

    async def _remember(self) -> None:
        """Begin with what the stream has, of which nobody is told: clients ask for what they have missed."""
        entries = await self._reader.execute(KEY, "XRANGE", KEY, "-", "+")
        for event_id, fields in entries:
            self._recent.append((read_position(event_id), fields[1].decode()))
        self._known_from = self._recent[0][0] if len(self._recent) == EVENTS_MAX else (0, 0)
        if entries:
            self.last_id = entries[-1][0]


def read_position(event_id: bytes) -> Position:
    """Raises `ValueError`."""
    milliseconds, _, number = event_id.partition(b"-")
    return int(milliseconds), int(number)

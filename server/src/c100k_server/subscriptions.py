"""Who is told of what: the lists of an app, and resources, change, and clients have asked to know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from c100k_server.jsonrpc import encode
from c100k_server.statistics import SENT

LISTS = ("tools", "prompts", "resources")
# Begins the topic of a message to all, followed by an id of its own, a colon, and the message as JSON.
BROADCAST = "broadcast:"
# With so many events waiting to be told, no broadcast joins them.
WAITING_MAX = 10_000
# How many clients are told in one turn of the loop.
BATCH = 250


class Event:
    """A notification, encoded but for what differs between its receivers. A topic is a list, `uri:` and a URI,
    or a broadcast.

    The `id` is that of the cluster's stream of events, and empty without one.
    """

    __slots__ = ("_fields", "_head", "_tag", "_tagged", "id", "is_broadcast", "line")

    def __init__(self, topic: str, event_id: bytes = b"") -> None:
        self.id = event_id
        self.is_broadcast = topic.startswith(BROADCAST)
        if topic in LISTS:
            method, self._fields = f"notifications/{topic}/list_changed", b""
        elif self.is_broadcast:
            method, self._fields = "notifications/c100k/broadcast", b'"message":' + topic.split(":", 2)[2].encode()
        else:
            method, self._fields = "notifications/resources/updated", b'"uri":' + encode(topic.removeprefix("uri:"))
        self._head = b'{"jsonrpc":"2.0","method":"%b","params":{' % method.encode()
        self.line = self._head + self._fields + b"}}\n"
        self._tag = self._tagged = b""

    def tagged(self, tag: bytes) -> bytes:
        """The line with an encoded `_meta` member, which most often is that of the listener before."""
        if tag != self._tag:
            self._tag = tag
            self._tagged = b"".join((self._head, self._fields, b"," if self._fields else b"", tag, b"}}\n"))
        return self._tagged


class Listener(Protocol):
    """Someone to be told."""

    def tell(self, event: Event) -> bool:
        """False when the event was dropped, because the client is gone or does not read."""


class Subscriptions:
    """The listeners of a worker, by topic.

    An event that is waiting to be told is not queued again: it says that something has changed, not how often, so
    there are never more waiting than there are topics with listeners. Broadcasts are all different, and dropped when
    too many wait.
    """

    __slots__ = ("_figures", "_loop", "_task", "_topics", "_waiting", "audiences", "publish", "reload")

    def __init__(self, figures: memoryview, loop: asyncio.AbstractEventLoop) -> None:
        self._figures = figures
        self._loop = loop
        self._topics: dict[str, dict[Listener, None]] = {}
        self._waiting: dict[str, bytes] = {}
        self._task: asyncio.Task[None] | None = None
        # All sessions there are: they hear of lists without asking.
        self.audiences: list[Callable[[], Iterable[Listener]]] = []
        # Tells the listeners of this worker, or by whoever sets it, those of all.
        self.publish: Callable[[str], None] = self.deliver
        # Changes a list of this worker as another has changed its own.
        self.reload: Callable[[Any], None] | None = None

    @property
    def waiting(self) -> int:
        """How many events wait to be told."""
        return len(self._waiting)

    def add(self, topic: str, listener: Listener) -> None:
        self._topics.setdefault(topic, {})[listener] = None

    def discard(self, topic: str, listener: Listener) -> None:
        listeners = self._topics.get(topic)
        if listeners is not None:
            listeners.pop(listener, None)
            if not listeners:
                del self._topics[topic]

    def changed(self, kind: str) -> None:
        """A list has changed. Thread-safe, like `updated`."""
        self._loop.call_soon_threadsafe(self._publish, kind)

    def updated(self, uri: str) -> None:
        """A resource has changed."""
        self._loop.call_soon_threadsafe(self._publish, f"uri:{uri}")

    def hear(self, topic: str, event_id: bytes = b"") -> None:
        """A worker has published this."""
        if topic in LISTS and self.reload is not None:
            self.reload(topic)
        self.deliver(topic, event_id)

    def deliver(self, topic: str, event_id: bytes = b"") -> None:
        """Tell the listeners of this worker."""
        if len(self._waiting) >= WAITING_MAX and topic.startswith(BROADCAST):
            return
        if topic in self._topics or _is_for_all(topic):
            # Told in the order of their ids, so that whoever has heard of one has heard of all before it.
            self._waiting.pop(topic, None)
            self._waiting[topic] = event_id
            if self._task is None:
                self._task = self._loop.create_task(self._tell())

    def _publish(self, topic: str) -> None:
        self.publish(topic)

    async def _tell(self) -> None:
        while self._waiting:
            topic = next(iter(self._waiting))
            event = Event(topic, self._waiting.pop(topic))
            listeners = list(self._topics.get(topic, ()))
            if _is_for_all(topic):
                for audience in self.audiences:
                    listeners.extend(audience())
            for start in range(0, len(listeners), BATCH):
                self._figures[SENT] += sum([listener.tell(event) for listener in listeners[start : start + BATCH]])
                await asyncio.sleep(0)
        self._task = None


def _is_for_all(topic: str) -> bool:
    return topic in LISTS or topic.startswith(BROADCAST)

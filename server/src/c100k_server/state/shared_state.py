"""What a worker does to be one of a cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from c100k_server.config import StateConfig
from c100k_server.errors import RedisPasswordError
from c100k_server.jsonrpc import notification_line
from c100k_server.redis.cluster import Cluster, Settings
from c100k_server.registry.lookups import TRACKING, Lookups
from c100k_server.registry.mail import Mail, mailbox_key
from c100k_server.registry.shared import SharedRegistry
from c100k_server.resumption import RETRY_AFTER_MS
from c100k_server.service import Service
from c100k_server.state.event_stream import EventStream
from c100k_server.state.store import SessionStore
from c100k_server.statistics import (
    MEMBER_UNTIL_NS,
    REDIS_CONNECTS,
    REDIS_FAILURES,
    REDIS_LATENCY_US,
    REDIS_OPERATIONS,
    REDIS_SINGLE_COPY_ACKS,
    REDIS_UP,
    SENT,
    SESSIONS_CLAIMED,
    SESSIONS_FENCED,
    SESSIONS_STORED,
    STORED_SESSIONS,
    StatisticsBoard,
)

START_TIMEOUT_S = 2.0
# How many clients are told at a time, and how long the next ones wait: all at once would come back all at once.
BATCH = 250
PAUSE_S = 0.05
UNAVAILABLE = notification_line("notifications/c100k/unavailable", {"retryAfterMs": RETRY_AFTER_MS})
AVAILABLE = notification_line("notifications/c100k/available", {})


class SharedState:
    """The clients of Redis, and what is kept there. `beat` must be called 4 times a second."""

    def __init__(
        self,
        redis: Cluster,
        store: SessionStore,
        events: EventStream,
        registry: SharedRegistry,
        lookups: Lookups,
        figures: memoryview,
    ) -> None:
        self.redis = redis
        self.store = store
        self.events = events
        self._registry = registry
        self._lookups = lookups
        self._figures = figures
        self._was_member = True
        self._telling: asyncio.Task[None] | None = None

    def beat(self) -> None:
        self.store.beat()
        self.events.flush()
        self._registry.beat()
        is_member = self.store.is_member()
        if is_member != self._was_member:
            if not is_member:
                self._lookups.flush()
            if self._telling is not None:
                self._telling.cancel()  # those who have not heard of the last change need not
            line = AVAILABLE if is_member else UNAVAILABLE
            self._telling = asyncio.get_running_loop().create_task(self._tell(line))
        self._was_member = is_member
        figures, redis, sessions = self._figures, self.redis.figures, self.store.figures
        figures[REDIS_UP] = self.redis.healthy
        figures[REDIS_OPERATIONS] = redis.operations
        figures[REDIS_FAILURES] = redis.failures
        figures[REDIS_LATENCY_US] = int(redis.latency_s * 1e6)
        figures[REDIS_SINGLE_COPY_ACKS] = redis.single_copy_acks
        figures[REDIS_CONNECTS] = redis.connects
        figures[STORED_SESSIONS] = len(self.store)
        figures[SESSIONS_STORED] = sessions.created
        figures[SESSIONS_CLAIMED] = sessions.claimed
        figures[SESSIONS_FENCED] = sessions.fenced

    async def _tell(self, line: bytes) -> None:
        """Tell the clients whose sessions are stored: that they go elsewhere if they can, or need not any more."""
        for position, session in enumerate(list(self.store.held.values())):
            if position % BATCH == BATCH - 1:
                await asyncio.sleep(PAUSE_S)
            if session.outlet is not None:
                self._figures[SENT] += session.outlet.send(line)


@asynccontextmanager
async def shared_state(
    config: StateConfig, worker: int, boot: int, service: Service, board: StatisticsBoard
) -> AsyncIterator[SharedState]:
    """Have `service` keep its sessions in Redis. Raises `RedisPasswordError`; that Redis is away is no error."""
    settings = read_settings(config, str(worker))
    redis, reader = Cluster(settings), Cluster(settings)
    asker = Cluster(msgspec.structs.replace(settings, greeting=TRACKING))
    parent = board.parent

    def is_member() -> bool:
        return bool(parent[MEMBER_UNTIL_NS] > time.monotonic_ns())

    store = SessionStore(redis, config.node, worker, boot, config.lease_s, board.lives, is_member)
    mail = Mail(service, store)
    events = EventStream(redis, reader, service.subscriptions.hear, mailbox_key(store.life), mail.receive)
    lookups = Lookups(asker, store, config.node)
    registry = SharedRegistry(service, store, config.node, lookups, mail)
    service.store, service.events, service.registry = store, events, registry
    service.subscriptions.publish = events.publish
    await redis.start()
    await asyncio.gather(reader.start(timeout_s=0), asker.start(timeout_s=0))
    await events.start(START_TIMEOUT_S)
    try:
        yield SharedState(redis, store, events, registry, lookups, service.figures)
    finally:
        await events.close()
        await registry.close()
        await asyncio.gather(asker.close(), reader.close(), redis.close())


def read_settings(config: StateConfig, client: str) -> Settings:
    """How a client of Redis, which it is called, connects. Raises `RedisPasswordError`."""
    password = _read_password(config.password_file)
    return Settings(config.seeds, config.username, password, f"c100k-server:{config.node}:{client}")


def _read_password(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise RedisPasswordError(path=path, reason=error.strerror or str(error)) from None

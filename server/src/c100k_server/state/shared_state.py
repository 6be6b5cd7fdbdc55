"""What a worker does to be one of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from c100k_server.config import StateConfig
from c100k_server.errors import RedisPasswordError
from c100k_server.redis.cluster import Cluster, Settings
from c100k_server.service import Service
from c100k_server.state.event_stream import EventStream
from c100k_server.state.store import SessionStore
from c100k_server.statistics import (
    REDIS_CONNECTS,
    REDIS_FAILURES,
    REDIS_LATENCY_US,
    REDIS_OPERATIONS,
    REDIS_SINGLE_COPY_ACKS,
    REDIS_UP,
    SESSIONS_CLAIMED,
    SESSIONS_FENCED,
    SESSIONS_STORED,
    STORED_SESSIONS,
)


class SharedState:
    """The clients of Redis, and what is kept there. `beat` must be called 4 times a second."""

    def __init__(self, redis: Cluster, store: SessionStore, events: EventStream, figures: memoryview) -> None:
        self.redis = redis
        self.store = store
        self.events = events
        self._figures = figures

    def beat(self) -> None:
        self.store.beat()
        self.events.flush()
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


@asynccontextmanager
async def shared_state(
    config: StateConfig, worker: int, boot: int, service: Service, lives: Callable[[int, int], bool]
) -> AsyncIterator[SharedState]:
    """Have `service` keep its sessions in Redis. Raises `RedisPasswordError`; that Redis is away is no error."""
    settings = Settings(
        config.seeds, config.username, _read_password(config.password_file), f"c100k-server:{config.node}:{worker}"
    )
    redis, reader = Cluster(settings), Cluster(settings)
    store = SessionStore(redis, config.node, worker, boot, config.lease_s, lives)
    events = EventStream(redis, reader, service.subscriptions.hear)
    service.store, service.events = store, events
    service.subscriptions.publish = events.publish
    await redis.start()
    await reader.start(timeout_s=0)
    events.start()
    try:
        yield SharedState(redis, store, events, service.figures)
    finally:
        await events.close()
        await reader.close()
        await redis.close()


def _read_password(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise RedisPasswordError(path=path, reason=error.strerror or str(error)) from None

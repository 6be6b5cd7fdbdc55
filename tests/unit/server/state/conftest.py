"""Servers that share their sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis_cluster import NODE_TIMEOUT_MS, RedisCluster


@pytest.fixture
def nodes(redis: RedisCluster, start_server: Callable[..., Any]) -> Callable[..., Any]:
    """Start a node of a cluster by its name."""

    def start(name: str, *options: str) -> Any:
        common = ("--state", "redis", "--redis", redis.seeds, "--node", name, "--http", "127.0.0.1:0")
        return start_server(*common, "--workers", "1", *options)

    return start


@pytest.fixture
def patient_redis(redis: RedisCluster) -> Iterator[RedisCluster]:
    """A Redis Cluster that suspects nobody by itself."""
    for index in range(8):
        redis.command(index, "CONFIG", "SET", "cluster-node-timeout", 600_000)
    yield redis
    for index in range(8):
        redis.resume(index)
        if redis.servers[index].poll() is None:
            redis.command(index, "CONFIG", "SET", "cluster-node-timeout", NODE_TIMEOUT_MS)

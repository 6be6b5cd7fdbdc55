"""Servers that share their sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from redis_cluster import RedisCluster


@pytest.fixture
def nodes(redis: RedisCluster, start_server: Callable[..., Any]) -> Callable[..., Any]:
    """Start a node of a cluster by its name."""

    def start(name: str, *options: str) -> Any:
        common = ("--state", "redis", "--redis", redis.seeds, "--node", name, "--http", "127.0.0.1:0")
        return start_server(*common, "--workers", "1", *options)

    return start

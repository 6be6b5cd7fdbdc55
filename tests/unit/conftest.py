"""A Redis Cluster that all tests share which want one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis_cluster import RedisCluster


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("redis"))
    yield cluster
    cluster.close()


@pytest.fixture
def redis(shared_cluster: RedisCluster) -> RedisCluster:
    """A cluster that is whole. Tests may break it."""
    shared_cluster.repair()
    return shared_cluster

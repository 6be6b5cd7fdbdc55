"""A Redis Cluster that all tests share which want one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from redis_cluster import RedisCluster

#: What they do takes its time, most of which they wait: they begin first, so that none is left alone at the end.
FIRST = {
    "test_alerts.py",
    "test_dashboards.py",
    "test_failover.py",
    "test_grafana.py",
    "test_grafana_role.py",
    "test_live.py",
    "test_monitoring.py",
    "test_quick_benchmark.py",
    "test_watch.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order of the files, which `--no-loadscope-reorder` keeps: after the first ones, those with many tests."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.name not in FIRST, -tests[item.path]))


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

"""Planning workers from limits."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c100k_server.errors import FileLimitError, MemoryLimitError
from c100k_server.limits import RESERVED_FILES, SPREAD_DEVIATIONS, plan_workers

PLENTY_BYTES = 2**60


@given(
    connections=st.integers(1, 1_000_000),
    file_limit=st.integers(RESERVED_FILES + 10, 2_000_000),
    cores=st.integers(1, 64),
)
def test_auto_plans_fit_with_their_spread(connections: int, file_limit: int, cores: int) -> None:
    plan = plan_workers(
        connections=connections, workers=None, file_limit=file_limit, cores=cores, memory_bytes=PLENTY_BYTES
    )
    mean = connections / plan.workers
    assert plan.workers >= cores
    assert mean + SPREAD_DEVIATIONS * math.sqrt(mean) <= plan.connections_max + 1e-6
    assert plan.connections_max + RESERVED_FILES <= file_limit


@given(connections=st.integers(2000, 1_000_000), file_limit=st.integers(RESERVED_FILES + 10, 1000))
def test_what_a_refusal_advises_is_accepted(connections: int, file_limit: int) -> None:
    with pytest.raises(FileLimitError) as caught:
        plan_workers(connections=connections, workers=2, file_limit=file_limit, cores=2, memory_bytes=PLENTY_BYTES)
    advised = caught.value.workers_needed
    assert advised > 2
    plan = plan_workers(
        connections=connections, workers=advised, file_limit=file_limit, cores=2, memory_bytes=PLENTY_BYTES
    )
    assert plan.workers == advised


def test_file_limit_without_room_for_a_connection() -> None:
    with pytest.raises(FileLimitError, match="raise the hard limit"):
        plan_workers(connections=1, workers=None, file_limit=RESERVED_FILES, cores=2, memory_bytes=PLENTY_BYTES)


def test_connections_not_said_are_what_the_workers_hold() -> None:
    plan = plan_workers(connections=None, workers=1, file_limit=1024, cores=2, memory_bytes=PLENTY_BYTES)
    assert plan.workers == 1


def test_memory_is_refused_with_its_arithmetic() -> None:
    with pytest.raises(MemoryLimitError, match=r"need about 0\.5 GiB of memory, 0\.2 GiB are available") as caught:
        plan_workers(connections=100_000, workers=None, file_limit=100_000, cores=2, memory_bytes=2**28 - 2**25)
    assert caught.value.available_bytes < caught.value.needed_bytes


def test_tls_is_part_of_the_arithmetic() -> None:
    fits = {"connections": 20_000, "workers": 2, "file_limit": 100_000, "cores": 2, "memory_bytes": 2**28}
    assert plan_workers(**fits).workers == 2
    with pytest.raises(MemoryLimitError):
        plan_workers(**fits, with_tls=True)

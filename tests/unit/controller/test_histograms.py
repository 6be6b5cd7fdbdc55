from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c100k.histograms import empty, merge_by_second, percentiles

VALUES = st.lists(st.integers(min_value=1, max_value=30_000_000), min_size=1, max_size=300)


def write_log(path: Path, seconds: list[list[int]]) -> None:
    with path.open("w") as log:
        for t, values in enumerate(seconds):
            histogram = empty()
            for value in values:
                histogram.record_value(value)
            log.write(f"Tag=response,{t}.000,1.000,0.0,{histogram.encode().decode()}\n")


@settings(max_examples=25, deadline=None)
@given(workers=st.lists(st.lists(VALUES, min_size=1, max_size=3), min_size=1, max_size=4))
def test_merging_over_workers_and_seconds_is_the_same_as_pooling(workers: list[list[list[int]]]) -> None:
    with TemporaryDirectory() as directory:
        for index, seconds in enumerate(workers):
            write_log(Path(directory) / f"node1-w{index}-hold.hlog", seconds)
        whole = empty()
        for _, merged in merge_by_second(sorted(Path(directory).iterdir())):
            whole.add(merged["hold", "response"])
    pooled = sorted(value for seconds in workers for values in seconds for value in values)
    found = percentiles(whole)
    assert found.samples == len(pooled)
    for percent, figure in ((50, found.p50), (95, found.p95), (99, found.p99), (99.9, found.p999)):
        rank = max(1, int(percent / 100 * len(pooled) + 0.5))
        assert figure == pytest.approx(pooled[rank - 1] / 1000, rel=0.001)


def test_nothing_recorded_is_unknown_not_zero() -> None:
    assert percentiles(empty()).p95 is None

"""Buckets of Prometheus, from the encoded histograms of seconds."""

from __future__ import annotations

from c100k_loadgen.metrics import BOUNDS_S, ResponseTimes
from c100k_loadgen.recorder import Recorder


def test_what_was_recorded_is_in_the_buckets_of_its_bounds() -> None:
    times = ResponseTimes()
    for second in ((0, 999, 1_000), (100_000, 100_100, 3_600_000_000)):
        recorder = Recorder()
        for value_us in second:
            recorder.record(value_us)
        times.add(recorder.take().encoded)

    samples = list(times.samples())

    buckets = {labels: value for suffix, labels, value in samples if suffix == "_bucket"}
    assert len(buckets) == len(BOUNDS_S) + 1
    assert buckets['{le="0.001"}'] == buckets['{le="0.075"}'] == 3
    assert buckets['{le="0.1"}'] == 4
    assert buckets['{le="0.15"}'] == buckets['{le="10.0"}'] == 5
    assert buckets['{le="+Inf"}'] == samples[-1][2] == 6
    assert abs(samples[-2][2] - 3600.202) < 3600 / 1000

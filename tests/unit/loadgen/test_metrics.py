"""Buckets of Prometheus, from the encoded histograms of seconds."""

from __future__ import annotations

import re
import time

from c100k_loadgen.metrics import BOUNDS_S, ResponseTimes, page
from c100k_loadgen.recorder import Recorder
from c100k_loadgen.status import Status


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


def test_what_an_answer_takes_of_the_processor_is_counted_and_no_waiting() -> None:
    about = {"run_id": "r", "host": "h", "state": "hold", "stage": "", "phase_ends_at": None, "said": {}}
    known = {**dict.fromkeys(Status.__struct_fields__, 0), **about, "last_second": None, "workers": []}

    def status() -> Status:
        time.sleep(0.1)
        return Status(**known)

    answers = page(status, ResponseTimes())

    def counted() -> float:
        found = re.search(rb"^c100k_loadgen_metrics_cpu_seconds_total (\S+)$", answers.body(), re.MULTILINE)
        assert found
        return float(found[1])

    began = time.thread_time()
    assert counted() == 0
    took = time.thread_time() - began
    assert 0 < counted() < took

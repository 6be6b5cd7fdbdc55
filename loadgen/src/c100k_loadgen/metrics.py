"""`GET /metrics`: the run in Prometheus' text format, https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from operator import mul
from typing import get_args

from hdrh.histogram import HdrHistogram

from c100k_loadgen.generator_file import RunState
from c100k_loadgen.recorder import COUNTS, DIGITS, HIGHEST_US, LOWEST_US, count_index
from c100k_loadgen.status import Page, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "c100k_loadgen_"

#: Upper bounds of the buckets. A limit that is one of them is compared with exactly, without interpolation.
BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0)

_GAUGES = {
    "connections": ("connected", "Connections that are open."),
    "target_connections": ("target", "Connections that the plan asks for."),
    "sessions_away": ("away", "Sessions that wait to be resumed."),
    "connections_reopening": ("reopening", "Connections that the plan has closed and opens again."),
}
_COUNTERS = {
    "connections_opened_total": ("opened", "Connections opened."),
    "connect_errors_total": ("connect_errors", "Connections that could not be opened."),
    "connections_closed_total": ("closed", "Connections that ended."),
    "sessions_resumed_total": ("resumed", "Sessions that were resumed."),
    "messages_intended_total": ("intended", "Messages that the plan has asked for so far."),
    "messages_sent_total": ("sent", "Messages sent."),
    "messages_answered_total": ("answered", "Messages answered as they should be."),
    "message_errors_total": ("errors", "Messages answered wrongly, or that could not be sent."),
    "message_timeouts_total": ("timeouts", "Messages without an answer in time."),
}

# The middle of the values that each count of a histogram stands for, in microseconds.
_BUCKETS = [max(0, (index >> 10) - 1) for index in range(COUNTS)]
_MIDDLES_US = [((index - (bucket << 10)) << bucket) + ((1 << bucket) - 1) / 2 for index, bucket in enumerate(_BUCKETS)]
_BOUNDARIES = (0, *(count_index(round(bound * 1e6)) + 1 for bound in BOUNDS_S), COUNTS)


class ResponseTimes:
    """Response times of the whole run, from the encoded histograms of its seconds."""

    def __init__(self) -> None:
        self._histogram = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)

    def add(self, encoded: str) -> None:
        self._histogram.decode_and_add(encoded)

    def samples(self) -> Iterable[tuple[str, str, float]]:
        """Suffix, labels and value of each line of the Prometheus histogram."""
        counts = self._histogram.counts[:]
        total = 0
        for bound, (first, end) in zip((*map(str, BOUNDS_S), "+Inf"), pairwise(_BOUNDARIES), strict=True):
            total += sum(counts[first:end])
            yield "_bucket", f'{{le="{bound}"}}', total
        yield "_sum", "", sum(map(mul, counts, _MIDDLES_US)) / 1e6
        yield "_count", "", total


def render(status: Status, response_times: ResponseTimes, metrics_cpu_s: float) -> str:
    """The exposition of a run, of which earlier ones took `metrics_cpu_s` to make."""
    lines: list[str] = []

    def family(name: str, kind: str, description: str, samples: Iterable[tuple[str, str, float]]) -> None:
        lines.append(f"# HELP {PREFIX}{name} {description}\n# TYPE {PREFIX}{name} {kind}\n")
        lines.extend(f"{PREFIX}{name}{suffix}{labels} {value}\n" for suffix, labels, value in samples)

    for kind, families in (("gauge", _GAUGES), ("counter", _COUNTERS)):
        for name, (field, description) in families.items():
            family(name, kind, description, [("", "", getattr(status, field))])
    phases = [("", _labels({"phase": phase}), float(phase == status.state)) for phase in get_args(RunState)]
    family("phase", "gauge", "1 for the phase that the run is in.", phases)
    family("run_info", "gauge", "The run.", [("", _labels({"run_id": status.run_id, "host": status.host}), 1)])
    workers = [("", _labels({"worker": str(worker.index)}), float(worker.alive)) for worker in status.workers]
    family("worker_up", "gauge", "Whether the worker lives.", workers)
    family(
        "response_seconds",
        "histogram",
        "From the moment at which a message should be sent to its answer.",
        response_times.samples(),
    )
    family(
        "metrics_cpu_seconds_total",
        "counter",
        "CPU time of making these metrics, user and system.",
        [("", "", metrics_cpu_s)],
    )
    return "".join(lines)


def page(status: Callable[[], Status], response_times: ResponseTimes) -> Page:
    """What `status` returns, as figures."""
    cpu_s = 0.0

    def body() -> bytes:
        nonlocal cpu_s
        began = time.thread_time()
        content = render(status(), response_times, cpu_s).encode()
        cpu_s += time.thread_time() - began
        return content

    return Page(CONTENT_TYPE, body)


def _labels(values: Mapping[str, str]) -> str:
    escaped = {
        name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in values.items()
    }
    return "{" + ",".join(f'{name}="{value}"' for name, value in escaped.items()) + "}"

"""The figures in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class WorkerFigures(msgspec.Struct, frozen=True):
    """One worker, over all its lives; what is not `_total` is of the current one, or the last when it is dead."""

    worker: str
    up: bool
    starts_total: int
    connections: int
    opened_total: int
    closed_total: Mapping[str, int]
    received_total: int
    sent_total: int
    errors_total: int
    sessions: int
    http_requests_total: int
    http_refusals_total: int
    cpu_s: float
    resident_bytes: int
    gc_pause_max_s: float
    loop_lag_max_s: float


class ParentFigures(msgspec.Struct, frozen=True):
    """The supervising process."""

    cpu_s: float
    resident_bytes: int


def render(workers: Iterable[WorkerFigures], parent: ParentFigures) -> str:
    """The exposition of a whole server."""
    families = [
        _Family("up", "gauge", "Whether the worker serves and its loop turns."),
        _Family("worker_starts_total", "counter", "Times that the worker was started."),
        _Family("connections", "gauge", "Open connections."),
        _Family("connections_opened_total", "counter", "Connections accepted."),
        _Family("connections_closed_total", "counter", "Connections ended, by cause."),
        _Family("messages_received_total", "counter", "Messages received, notifications among them."),
        _Family("messages_sent_total", "counter", "Messages sent."),
        _Family("request_errors_total", "counter", "Messages answered with an error."),
        _Family("sessions", "gauge", "Open HTTP sessions."),
        _Family("http_requests_total", "counter", "HTTP requests received."),
        _Family("http_refusals_total", "counter", "HTTP requests refused before the protocol saw them."),
        _Family("cpu_seconds_total", "counter", "CPU time of the process, user and system."),
        _Family("resident_memory_bytes", "gauge", "Resident memory of the process."),
        _Family("gc_pause_max_seconds", "gauge", "Longest garbage collection of the last 5 to 10 s."),
        _Family("loop_lag_max_seconds", "gauge", "Longest delay of a timer of the event loop in the last 5 to 10 s."),
    ]
    family = {each.name: each for each in families}
    for figures in workers:
        labels = f'worker="{figures.worker}"'
        family["up"].add(labels, int(figures.up))
        family["worker_starts_total"].add(labels, figures.starts_total)
        family["connections"].add(labels, figures.connections)
        family["connections_opened_total"].add(labels, figures.opened_total)
        for cause, count in figures.closed_total.items():
            family["connections_closed_total"].add(f'{labels},cause="{cause}"', count)
        family["messages_received_total"].add(labels, figures.received_total)
        family["messages_sent_total"].add(labels, figures.sent_total)
        family["request_errors_total"].add(labels, figures.errors_total)
        family["sessions"].add(labels, figures.sessions)
        family["http_requests_total"].add(labels, figures.http_requests_total)
        family["http_refusals_total"].add(labels, figures.http_refusals_total)
        family["cpu_seconds_total"].add(labels, figures.cpu_s)
        family["resident_memory_bytes"].add(labels, figures.resident_bytes)
        family["gc_pause_max_seconds"].add(labels, figures.gc_pause_max_s)
        family["loop_lag_max_seconds"].add(labels, figures.loop_lag_max_s)
    family["cpu_seconds_total"].add('worker="parent"', parent.cpu_s)
    family["resident_memory_bytes"].add('worker="parent"', parent.resident_bytes)
    return "".join(each.text() for each in families)


class _Family:
    def __init__(self, name: str, kind: str, description: str) -> None:
        self.name = name
        self._full_name = f"c100k_server_{name}"
        self._lines = [
            f"# HELP {self._full_name} {description}\n",
            f"# TYPE {self._full_name} {kind}\n",
        ]

    def add(self, labels: str, value: float) -> None:
        self._lines.append(f"{self._full_name}{{{labels}}} {value}\n")

    def text(self) -> str:
        return "".join(self._lines)

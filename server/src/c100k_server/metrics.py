"""The figures in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/.

Each family is there by worker, and once more under another name for all workers together, so that a sum over either
counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from c100k_server.statistics import (
    BYTES_RECEIVED,
    BYTES_SENT,
    CLOSED,
    CPU_US,
    ERRORS,
    EVENTS_WAITING,
    GC_PAUSE_MAX_US,
    HTTP_REFUSED,
    HTTP_REQUESTS,
    IN_FLIGHT,
    LATENCY_BOUNDS_US,
    LATENCY_BUCKETS,
    LATENCY_SUM_NS,
    LIMITS,
    LOOKUP_BUCKETS,
    LOOKUP_SUM_NS,
    LOOP_LAG_MAX_US,
    OPENED,
    PAUSED,
    RECEIVED,
    REDIS_CONNECTS,
    REDIS_FAILURES,
    REDIS_LATENCY_US,
    REDIS_OPERATIONS,
    REDIS_SINGLE_COPY_ACKS,
    REDIS_UP,
    REGISTRY_BROADCAST,
    REGISTRY_CACHED,
    REGISTRY_INVALIDATED,
    REGISTRY_NAMES,
    REGISTRY_REGISTERED,
    REGISTRY_ROUTED,
    REQUESTS,
    RESIDENT_BYTES,
    SENT,
    SESSIONS,
    SESSIONS_CLAIMED,
    SESSIONS_FENCED,
    SESSIONS_STORED,
    STORED_SESSIONS,
    STREAMS,
    THREADS_BUSY,
    THREADS_QUEUED,
)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BY_WORKER = "c100k_server_"
ALL_WORKERS = "c100k_server_all_workers_"


class WorkerFigures(msgspec.Struct, frozen=True):
    """One worker: its `cells`, in which counters are of all its lives, and the others of the current one."""

    worker: str
    up: bool
    starts: int
    connections: int
    cells: Sequence[int]


class ParentFigures(msgspec.Struct, frozen=True):
    """The supervising process."""

    cpu_s: float
    resident_bytes: int
    metrics_cpu_s: float


class _Family(msgspec.Struct, frozen=True):
    """`read` gives the samples of a worker, by their suffix and labels; `merge` makes one of those of all workers."""

    name: str
    kind: str
    description: str
    read: Callable[[WorkerFigures], Mapping[tuple[str, str], float]]
    merge: Callable[[Iterable[float]], float] = sum


def _one(cell: int, per_unit: float = 1) -> Callable[[WorkerFigures], Mapping[tuple[str, str], float]]:
    return lambda figures: {("", ""): figures.cells[cell] / per_unit if per_unit != 1 else figures.cells[cell]}


def _by(label: str, cells: Mapping[str, int]) -> Callable[[WorkerFigures], Mapping[tuple[str, str], float]]:
    return lambda figures: {("", f'{label}="{value}"'): figures.cells[cell] for value, cell in cells.items()}


def _requests(figures: WorkerFigures) -> Mapping[tuple[str, str], float]:
    # Most clients call a few of the methods; what never happened is left out.
    return {
        ("", f'method="{method}",outcome="{outcome}"'): figures.cells[cell]
        for method, outcomes in REQUESTS.items()
        for outcome, cell in outcomes.items()
        if figures.cells[cell]
    }


def _durations(
    label: str, cells: Mapping[str, Sequence[int]], sums_ns: Mapping[str, int]
) -> Callable[[WorkerFigures], Mapping[tuple[str, str], float]]:
    """A histogram by a label, in buckets of `LATENCY_BOUNDS_US`."""
    bounds = (*(str(bound / 1e6) for bound in LATENCY_BOUNDS_US), "+Inf")

    def read(figures: WorkerFigures) -> Mapping[tuple[str, str], float]:
        samples: dict[tuple[str, str], float] = {}
        for value, buckets in cells.items():
            if not any(figures.cells[cell] for cell in buckets):
                continue  # most servers do one or two of these; what never happened is left out
            total = 0
            for bound, cell in zip(bounds, buckets, strict=True):
                total += figures.cells[cell]
                samples["_bucket", f'{label}="{value}",le="{bound}"'] = total
            samples["_sum", f'{label}="{value}"'] = figures.cells[sums_ns[value]] / 1e9
            samples["_count", f'{label}="{value}"'] = total
        return samples

    return read


_CPU_SECONDS = _Family("cpu_seconds_total", "counter", "CPU time, user and system.", _one(CPU_US, 1e6))
_RESIDENT_MEMORY = _Family("resident_memory_bytes", "gauge", "Resident memory.", _one(RESIDENT_BYTES))
# The parent alone answers, for all workers.
_METRICS_CPU_SECONDS = _Family(
    "metrics_cpu_seconds_total", "counter", "CPU time of making all these metrics, user and system.", lambda _: {}
)
_FAMILIES = (
    _Family("up", "gauge", "Whether the worker serves and its loop turns.", lambda each: {("", ""): int(each.up)}),
    _Family("worker_starts_total", "counter", "Times that it was started.", lambda each: {("", ""): each.starts}),
    _Family("connections", "gauge", "Open connections.", lambda each: {("", ""): each.connections}),
    _Family("connections_opened_total", "counter", "Connections accepted.", _one(OPENED)),
    _Family("connections_closed_total", "counter", "Connections ended, by cause.", _by("cause", CLOSED)),
    _Family("connections_paused", "gauge", "Connections whose client leaves a write buffer unread.", _one(PAUSED)),
    _Family("bytes_received_total", "counter", "Bytes read from clients.", _by("transport", BYTES_RECEIVED)),
    _Family("bytes_sent_total", "counter", "Bytes written for clients.", _by("transport", BYTES_SENT)),
    _Family("messages_received_total", "counter", "Messages received, notifications among them.", _one(RECEIVED)),
    _Family("messages_sent_total", "counter", "Messages sent.", _one(SENT)),
    _Family("request_errors_total", "counter", "Messages answered with an error.", _one(ERRORS)),
    _Family("requests_total", "counter", "Requests, by how they ended.", _requests),
    _Family(
        "request_seconds",
        "histogram",
        "From reading a request to writing its answer.",
        _durations("kind", LATENCY_BUCKETS, LATENCY_SUM_NS),
    ),
    _Family("requests_in_flight", "gauge", "Requests that were not answered at once, nor yet.", _one(IN_FLIGHT)),
    _Family("threads_busy", "gauge", "Threads that run functions of the app.", _one(THREADS_BUSY)),
    _Family("threads_queued", "gauge", "Calls of functions that wait for a thread.", _one(THREADS_QUEUED)),
    _Family("events_waiting", "gauge", "Changes that subscribers have yet to be told of.", _one(EVENTS_WAITING)),
    _Family("streams", "gauge", "Open streams: GET of a session, or subscriptions/listen.", _by("kind", STREAMS)),
    _Family("sessions", "gauge", "Open HTTP sessions.", _one(SESSIONS)),
    _Family("redis_up", "gauge", "Whether all of the Redis Cluster can be used.", _one(REDIS_UP), min),
    _Family("redis_operations_total", "counter", "Operations on Redis.", _one(REDIS_OPERATIONS)),
    _Family("redis_failures_total", "counter", "Operations without a reply, or refused.", _one(REDIS_FAILURES)),
    _Family(
        "redis_latency_seconds_total", "counter", "Time that answered operations took, retries included.",
        _one(REDIS_LATENCY_US, 1e6),
    ),
    _Family(
        "redis_single_copy_acks_total", "counter", "Writes acknowledged by a master whose replica is dead.",
        _one(REDIS_SINGLE_COPY_ACKS),
    ),
    _Family("redis_connects_total", "counter", "Connections made to nodes of Redis.", _one(REDIS_CONNECTS)),
    _Family("stored_sessions", "gauge", "Sessions in Redis that are owned here.", _one(STORED_SESSIONS)),
    _Family("sessions_stored_total", "counter", "Sessions put into Redis when they began.", _one(SESSIONS_STORED)),
    _Family("sessions_claimed_total", "counter", "Sessions taken up from Redis.", _one(SESSIONS_CLAIMED)),
    _Family("sessions_fenced_total", "counter", "Sessions found to be another worker's.", _one(SESSIONS_FENCED)),
    _Family("registry_names", "gauge", "Names of sessions that are here.", _one(REGISTRY_NAMES)),
    _Family("registry_cached", "gauge", "Names whose look-up is remembered.", _one(REGISTRY_CACHED)),
    _Family("registry_registered_total", "counter", "Names registered and bound.", _one(REGISTRY_REGISTERED)),
    _Family("registry_routed_total", "counter", "Messages sent to a name.", _one(REGISTRY_ROUTED)),
    _Family("registry_broadcast_total", "counter", "Messages sent to all.", _one(REGISTRY_BROADCAST)),
    _Family("registry_invalidated_total", "counter", "Names that Redis said have changed.", _one(REGISTRY_INVALIDATED)),
    _Family(
        "registry_lookup_seconds",
        "histogram",
        "Look-ups of names, by where the answer was found.",
        _durations("source", LOOKUP_BUCKETS, LOOKUP_SUM_NS),
    ),
    _Family("limits_hit_total", "counter", "Limits met without losing the connection.", _by("limit", LIMITS)),
    _Family("http_requests_total", "counter", "HTTP requests received.", _one(HTTP_REQUESTS)),
    _Family(
        "http_refusals_total", "counter", "HTTP requests refused before the protocol saw them.",
        _by("status", HTTP_REFUSED),
    ),
    _CPU_SECONDS,
    _RESIDENT_MEMORY,
    _METRICS_CPU_SECONDS,
    _Family(
        "gc_pause_max_seconds", "gauge", "Longest garbage collection of the last 5 to 10 s.",
        _one(GC_PAUSE_MAX_US, 1e6), max,
    ),
    _Family(
        "loop_lag_max_seconds", "gauge", "Longest delay of a timer of the event loop in the last 5 to 10 s.",
        _one(LOOP_LAG_MAX_US, 1e6), max,
    ),
)  # fmt: skip


def render(workers: Sequence[WorkerFigures], parent: ParentFigures, names: Collection[str] = ()) -> str:
    """The exposition of a whole server, or of the families by worker that have one of these names."""
    lines: list[str] = []
    for family in _FAMILIES:
        if names and BY_WORKER + family.name not in names:
            continue
        lines += _head(BY_WORKER, family, family.description)
        merged: dict[tuple[str, str], list[float]] = {}
        for figures in workers:
            for (suffix, labels), value in family.read(figures).items():
                merged.setdefault((suffix, labels), []).append(value)
                comma = "," if labels else ""
                lines.append(f'{BY_WORKER}{family.name}{suffix}{{worker="{figures.worker}"{comma}{labels}}} {value}\n')
        if family is _CPU_SECONDS:
            lines.append(f'{BY_WORKER}{family.name}{{worker="parent"}} {parent.cpu_s}\n')
        elif family is _RESIDENT_MEMORY:
            lines.append(f'{BY_WORKER}{family.name}{{worker="parent"}} {parent.resident_bytes}\n')
        elif family is _METRICS_CPU_SECONDS:
            lines.append(f'{BY_WORKER}{family.name}{{worker="parent"}} {parent.metrics_cpu_s}\n')
        if names or family is _METRICS_CPU_SECONDS:
            continue
        how = "The highest" if family.merge is max else "The lowest" if family.merge is min else "The sum"
        lines += _head(ALL_WORKERS, family, f"{how} of {BY_WORKER}{family.name} over all workers.")
        for (suffix, labels), values in merged.items():
            braces = f"{{{labels}}}" if labels else ""
            lines.append(f"{ALL_WORKERS}{family.name}{suffix}{braces} {family.merge(values)}\n")
    return "".join(lines)


def _head(prefix: str, family: _Family, description: str) -> tuple[str, str]:
    return (
        f"# HELP {prefix}{family.name} {description}\n",
        f"# TYPE {prefix}{family.name} {family.kind}\n",
    )

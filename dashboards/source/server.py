"""The servers, worker by worker."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import LIMIT, THIRD, board, chart
from source.prometheus import HOST, WORKER


def dashboard() -> Dashboard:
    each = "{{host}} {{worker}}"
    return (
        board("server", "servers", "What every worker of every server does, and what it costs.", workers=True)
        .with_panel(chart("Connections", "Open connections.", "short", {each: f"c100k_server_connections{{{WORKER}}}"}))
        .with_panel(
            chart(
                "Messages received",
                "Messages received a second, notifications among them.",
                "reqps",
                {each: f"rate(c100k_server_messages_received_total{{{WORKER}}}[20s])"},
            )
        )
        .with_panel(
            chart(
                "Processor",
                "Processor time a second; 1 is a whole core, which is all that a worker can use.",
                "percentunit",
                {each: f"rate(c100k_server_cpu_seconds_total{{{WORKER}}}[20s])"},
            )
        )
        .with_panel(
            chart(
                "Processor time a message",
                "Of all processes of a server, for each message that it received.",
                "s",
                {"{{host}}": f"host:c100k_server_cpu_per_message_seconds:ratio20s{{{HOST}}}"},
                logarithmic=True,
            )
        )
        .with_panel(
            chart(
                "Loop lag",
                "The longest delay of a timer of the event loop in the last 5 to 10 s: nobody was served meanwhile. "
                "An alert warns from the limit on.",
                "s",
                {each: f"c100k_server_loop_lag_max_seconds{{{WORKER}}}", LIMIT: "vector(0.1)"},
                width=THIRD,
            )
        )
        .with_panel(
            chart(
                "Garbage collection",
                "The longest garbage collection of the last 5 to 10 s.",
                "s",
                {each: f"c100k_server_gc_pause_max_seconds{{{WORKER}}}"},
                width=THIRD,
            )
        )
        .with_panel(
            chart(
                "Time to answer",
                "95 of 100 requests took the server no longer, over the last 20 s, in powers of two.",
                "s",
                {
                    "{{host}}": "histogram_quantile(0.95, sum by (host, le) "
                    f"(rate(c100k_server_all_workers_request_seconds_bucket{{{HOST}}}[20s])))"
                },
                width=THIRD,
            )
        )
        .with_panel(
            chart("Memory", "Resident memory.", "bytes", {each: f"c100k_server_resident_memory_bytes{{{WORKER}}}"})
        )
        .with_panel(
            chart(
                "Memory a connection",
                "Resident memory of a server over its open connections, that of the idle server included.",
                "bytes",
                {"{{host}}": f"host:c100k_server_memory_per_connection_bytes:ratio{{{HOST}}}"},
                logarithmic=True,
            )
        )
        .with_panel(
            chart(
                "Requests",
                "Requests answered a second, by method and by how they ended.",
                "reqps",
                {
                    "{{method}} {{outcome}}": "sum by (method, outcome) "
                    f"(rate(c100k_server_all_workers_requests_total{{{HOST}}}[20s])) > 0"
                },
            )
        )
        .with_panel(
            chart(
                "Connections closed",
                "Connections ended a second, by cause.",
                "short",
                {
                    "{{cause}}": "sum by (cause) "
                    f"(rate(c100k_server_all_workers_connections_closed_total{{{HOST}}}[20s]))"
                },
            )
        )
        .with_panel(
            chart(
                "Queues",
                "Requests that wait for an answer, calls that wait for a thread, events that subscribers wait for, "
                "and connections whose client does not read.",
                "short",
                {
                    name.replace("_", " "): f"sum(c100k_server_all_workers_{name}{{{HOST}}})"
                    for name in ("requests_in_flight", "threads_queued", "events_waiting", "connections_paused")
                },
            )
        )
        .with_panel(
            chart(
                "Limits met",
                "Times a second that a limit was met without losing the connection.",
                "short",
                {"{{limit}}": f"sum by (limit) (rate(c100k_server_all_workers_limits_hit_total{{{HOST}}}[20s]))"},
            )
        )
    )

"""Faults, and how the run gets over them."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import LIMIT, board, chart, counts, figure
from source.prometheus import HOST, P95_LIMIT, RUN


def dashboard() -> Dashboard:
    return (
        board("recovery", "chaos and recovery", "What a fault takes away, and how soon it is back.")
        .with_panel(
            figure(
                "Servers now",
                "Servers from which Prometheus gets an answer now.",
                "short",
                f'sum(up{{job="c100k-server",{HOST}}})',
            )
        )
        .with_panel(
            figure(
                "Away now",
                "Sessions that have lost their connection and have not gone on elsewhere yet. Red if any.",
                "short",
                f"run:c100k_sessions_away:sum{{{RUN}}}",
                limit=1,
            )
        )
        .with_panel(
            figure(
                "Went on so far",
                "Sessions that have gone on since the run began, each as often as it did.",
                "short",
                f"sum(c100k_loadgen_sessions_resumed_total{{{RUN}}})",
                calculation="max",
            )
        )
        .with_panel(
            figure(
                "Messages lost so far",
                "Messages answered wrongly, not sent or not answered in time since the run began. Red if any.",
                "short",
                f"sum(c100k_loadgen_message_errors_total{{{RUN}}} + c100k_loadgen_message_timeouts_total{{{RUN}}})",
                calculation="max",
                limit=1,
            )
        )
        .with_panel(
            counts(
                "Servers that answer",
                "The servers from which Prometheus gets an answer.",
                f'up{{job="c100k-server",{HOST}}}',
            )
        )
        .with_panel(
            chart(
                "Sessions away",
                "Sessions that lost their connection and wait to go on elsewhere.",
                "short",
                {"away": f"run:c100k_sessions_away:sum{{{RUN}}}"},
            )
        )
        .with_panel(
            chart(
                "Sessions that went on",
                "A second, at another node or at their own.",
                "short",
                {"{{host}}": f"rate(c100k_loadgen_sessions_resumed_total{{{HOST}}}[20s])"},
            )
        )
        .with_panel(
            chart(
                "Connections by server",
                "A server that dies loses its connections to the others, and gets its share back when it has returned.",
                "short",
                {"{{host}}": f"c100k_server_all_workers_connections{{{HOST}}}"},
            )
        )
        .with_panel(
            chart(
                "Response time, p95",
                "Of all messages of the last 20 s, those to sessions that were away included.",
                "s",
                {"p95": f"run:c100k_response_seconds:p95{{{RUN}}}", LIMIT: P95_LIMIT},
                logarithmic=True,
            )
        )
        .with_panel(
            counts(
                "Redis can be used",
                "The servers that can use all of the Redis Cluster; none without one.",
                f"c100k_server_all_workers_redis_up{{{HOST}}}",
            )
        )
    )

"""Faults, and how the run gets over them."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import HOST, RUN, board, chart


def dashboard() -> Dashboard:
    return (
        board("recovery", "chaos and recovery", "What a fault takes away, and how soon it is back.")
        .with_panel(
            chart(
                "Servers that answer",
                "1 while Prometheus gets an answer from a server.",
                "short",
                {"{{host}}": f'up{{job="c100k-server",{HOST}}}'},
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
                "p95",
                "Of all messages, those to sessions that are away included.",
                "s",
                {"p95": f"run:c100k_response_seconds:p95{{{RUN}}}"},
                limit=0.1,
            )
        )
        .with_panel(
            chart(
                "Redis can be used",
                "1 where a server can use all of the Redis Cluster; 0 without one.",
                "short",
                {"{{host}}": f"c100k_server_all_workers_redis_up{{{HOST}}}"},
            )
        )
    )

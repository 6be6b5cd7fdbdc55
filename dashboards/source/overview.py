"""A run as a whole: whether it keeps to its rules so far."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import LIMIT, PLANNED, THIRD, board, chart, counts, figure
from source.prometheus import P95_LIMIT, RUN, limit


def dashboard() -> Dashboard:
    return (
        board("overview", "overview", "Connections, messages, response times and errors of a run, against its rules.")
        .with_panel(
            figure("Connected", "Connections open at all generators.", "short", f"run:c100k_connections:sum{{{RUN}}}")
        )
        .with_panel(
            figure(
                "Answered",
                "Messages answered as they should be, a second, over the last 20 s.",
                "reqps",
                f"run:c100k_messages_answered:rate20s{{{RUN}}}",
            )
        )
        .with_panel(
            figure(
                "Response time, p95",
                "95 of 100 answers took no longer, from when the message should have been sent, over the last 20 s. "
                "Red from 100 ms.",
                "s",
                f"run:c100k_response_seconds:p95{{{RUN}}}",
                limit=0.1,
            )
        )
        .with_panel(
            figure(
                "Rules broken now",
                "Alerts that fire. The verdict is not made of them: it is computed from the raw files of the run.",
                "short",
                f'count(ALERTS{{alertstate="firing",{RUN}}}) or vector(0)',
                limit=1,
            )
        )
        .with_panel(
            chart(
                "Connections",
                "What the generators hold, what the plan asks for, and what the servers count.",
                "short",
                {
                    PLANNED: f"run:c100k_target_connections:sum{{{RUN}}}",
                    "generators": f"run:c100k_connections:sum{{{RUN}}}",
                    "servers": f"run:c100k_server_connections:sum{{{RUN}}}",
                },
            )
        )
        .with_panel(
            chart(
                "Messages",
                "What the plan asks to be sent, and what is answered as it should be, a second, over the last 20 s.",
                "reqps",
                {
                    PLANNED: f"sum by (run) (rate(c100k_loadgen_messages_intended_total{{{RUN}}}[20s]))",
                    "answered": f"run:c100k_messages_answered:rate20s{{{RUN}}}",
                },
            )
        )
        .with_panel(
            chart(
                "Response time",
                "From when a message should have been sent, of all generators together, over the last 20 s.",
                "s",
                {
                    **{name: f"run:c100k_response_seconds:{name}{{{RUN}}}" for name in ("p50", "p95", "p99")},
                    LIMIT: P95_LIMIT,
                },
                logarithmic=True,
            )
        )
        .with_panel(
            chart(
                "Errors",
                "The share of messages that were answered wrongly, or not in time, over the last minute.",
                "percentunit",
                {"errors": f"run:c100k_message_errors:ratio1m{{{RUN}}}", LIMIT: limit("messages.error_rate")},
            )
        )
        .with_panel(
            chart(
                "Connections missing",
                "Neither open, nor on their way back from a fault, nor closed as planned, while the generators hold.",
                "short",
                {
                    "missing": f"run:c100k_connections_missing:sum{{{RUN}}} and on (run) run:c100k_hold:min == 1",
                    LIMIT: limit("connections.missing_max"),
                },
                width=THIRD,
            )
        )
        .with_panel(
            chart(
                "Memory of the servers",
                "Resident, of all processes of all servers.",
                "bytes",
                {
                    "memory": f"run:c100k_server_memory_bytes:sum{{{RUN}}}",
                    LIMIT: limit("server.total.rss_bytes"),
                },
                width=THIRD,
            )
        )
        .with_panel(
            counts(
                "Rules broken",
                "Alerts that fire, by name: rules of the run, and what is only a warning.",
                f'count by (alertname) (ALERTS{{alertstate="firing",{RUN}}}) '
                'or label_replace(vector(0), "alertname", "none", "", "")',
                legend="{{alertname}}",
                width=THIRD,
            )
        )
    )

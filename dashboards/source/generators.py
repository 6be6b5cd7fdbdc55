"""The load generators: what they were to do, what they did, and whether they can be trusted."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import LIMIT, THIRD, board, chart, counts
from source.prometheus import HOST, P95_LIMIT, RUN


def dashboard() -> Dashboard:
    def rate(name: str) -> str:
        return f"rate(c100k_loadgen_{name}_total{{{HOST}}}[20s])"

    return (
        board("generators", "generators", "What the generators do, host by host, and whether they keep up.")
        .with_panel(
            chart(
                "Connected",
                "Connections open, of those that the plan asks of this host.",
                "percentunit",
                {"{{host}}": f"c100k_loadgen_connections{{{HOST}}} / c100k_loadgen_target_connections{{{HOST}}}"},
            )
        )
        .with_panel(
            chart(
                "Opened, failed and ended",
                "Connections a second, of all hosts.",
                "short",
                {
                    "opened": f"sum({rate('connections_opened')})",
                    "failed": f"sum({rate('connect_errors')})",
                    "ended": f"sum({rate('connections_closed')})",
                },
            )
        )
        .with_panel(chart("Answered", "Messages answered a second.", "reqps", {"{{host}}": rate("messages_answered")}))
        .with_panel(
            chart(
                "Not sent yet",
                "Messages that the plan has asked for and that have not been sent: late, or not to be sent any more.",
                "short",
                {
                    "{{host}}": f"c100k_loadgen_messages_intended_total{{{HOST}}} "
                    f"- c100k_loadgen_messages_sent_total{{{HOST}}}"
                },
            )
        )
        .with_panel(
            chart(
                "Response time, p95",
                "95 of 100 answers to this host took no longer, from when the message should have been sent.",
                "s",
                {
                    "{{host}}": "histogram_quantile(0.95, sum by (host, le) "
                    f"(rate(c100k_loadgen_response_seconds_bucket{{{HOST}}}[20s])))",
                    LIMIT: P95_LIMIT,
                },
                logarithmic=True,
            )
        )
        .with_panel(
            chart(
                "Wrong and late",
                "Messages a second: answered wrongly or not sent, and without an answer in time.",
                "short",
                {"errors": f"sum({rate('message_errors')})", "time-outs": f"sum({rate('message_timeouts')})"},
            )
        )
        .with_panel(
            counts(
                "Workers",
                "Workers of the generators that live. A run that loses one is INVALID.",
                f"sum by (host) (c100k_loadgen_worker_up{{{HOST}}})",
                width=THIRD,
            )
        )
        .with_panel(
            counts(
                "Phases",
                "How many generators are in each phase.",
                f"sum by (phase) (c100k_loadgen_phase{{{RUN}}}) > 0",
                legend="{{phase}}",
                width=THIRD,
            )
        )
        .with_panel(
            chart(
                "Processors of the hosts",
                "The share of all processors of a host that is busy. Generators on busy hosts send late.",
                "percentunit",
                {"{{host}}": f"host:node_cpu_busy:ratio20s{{{HOST}}}"},
                width=THIRD,
            )
        )
    )

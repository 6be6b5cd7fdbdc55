"""The cluster: sessions and names in Redis, as the servers see it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import LIMIT, board, chart, counts
from source.prometheus import HOST, RUN, limit


def dashboard() -> Dashboard:
    def rate(name: str) -> str:
        return f"rate(c100k_server_all_workers_{name}_total{{{HOST}}}[20s])"

    return (
        board("cluster", "cluster and registry", "Sessions that outlive their nodes, names, and Redis, by node.")
        .with_panel(
            counts(
                "Redis can be used",
                "The servers that can use all of the Redis Cluster; none without one.",
                f"c100k_server_all_workers_redis_up{{{HOST}}}",
            )
        )
        .with_panel(
            chart(
                "Sessions in Redis",
                "Sessions that a node owns.",
                "short",
                {"{{host}}": f"c100k_server_all_workers_stored_sessions{{{HOST}}}"},
            )
        )
        .with_panel(chart("Operations on Redis", "A second, by node.", "ops", {"{{host}}": rate("redis_operations")}))
        .with_panel(
            chart(
                "Time of an operation",
                "The mean over the last 20 s, retries included.",
                "s",
                {"{{host}}": f"host:c100k_redis_operation_seconds:mean20s{{{HOST}}}"},
            ).no_value("Nothing was asked of Redis.")
        )
        .with_panel(
            chart(
                "Sessions taken up, and lost to others",
                "A second: those that came from another connection or node, and those found to be another worker's.",
                "short",
                {
                    "taken up": f"sum({rate('sessions_claimed')})",
                    "another's": f"sum({rate('sessions_fenced')})",
                },
            )
        )
        .with_panel(
            chart(
                "Failures of Redis",
                "A second: operations without a reply or refused, and writes of which one host has the only copy.",
                "short",
                {
                    "failed": f"sum({rate('redis_failures')})",
                    "on one host only": f"sum({rate('redis_single_copy_acks')})",
                },
            )
        )
        .with_panel(
            chart(
                "Names",
                "Names of sessions that are at a node, and names whose look-up it remembers.",
                "short",
                {
                    "{{host}} names": f"c100k_server_all_workers_registry_names{{{HOST}}}",
                    "{{host}} remembered": f"c100k_server_all_workers_registry_cached{{{HOST}}}",
                },
            )
        )
        .with_panel(
            chart(
                "Look-ups",
                "A second, by where the answer was found.",
                "ops",
                {
                    "{{source}}": "sum by (source) "
                    f"(rate(c100k_server_all_workers_registry_lookup_seconds_count{{{HOST}}}[20s]))"
                },
            ).no_value("No name was looked up.")
        )
        .with_panel(
            chart(
                "Time of a look-up",
                "The mean of the last minute at the servers, and its limit where the run has one.",
                "s",
                {
                    "mean": f"run:c100k_registry_lookup_seconds:mean1m{{{RUN}}}",
                    LIMIT: f"{limit('registry.mean_us')} / 1e6",
                },
            ).no_value("No name was looked up.")
        )
        .with_panel(
            chart(
                "Changes of names",
                "A second: registered, and told by Redis to have changed.",
                "ops",
                {
                    "registered": f"sum({rate('registry_registered')})",
                    "told": f"sum({rate('registry_invalidated')})",
                },
            )
        )
    )

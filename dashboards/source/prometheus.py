"""The Prometheus that the dashboards ask."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import DataSourceRef

#: Which Prometheus is chosen at the top of each dashboard.
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

#: How often it scrapes. Grafana would ask for a value each 15 s, or each minute for annotations.
SCRAPE_INTERVAL = "5s"

#: Label matchers of the variables, for queries: a run, the hosts of it, and the workers of a server.
RUN = 'run=~"$run"'
HOST = f'{RUN},host=~"$host"'
WORKER = f'{HOST},worker=~"$worker"'


def limit(metric: str) -> str:
    """The limit of the run for a figure of run.json; nothing where it has no rule about that."""
    return f'max(c100k_sla_limit{{metric="{metric}"}})'


#: The limit of the run for its p95, in seconds.
P95_LIMIT = f"{limit('latency_ms.p95')} / 1000"

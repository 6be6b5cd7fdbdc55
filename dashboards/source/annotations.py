"""What is marked on the time line of every dashboard."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import AnnotationQuery, DataSourceRef

from source.prometheus import RUN, SCRAPE_INTERVAL, SOURCE

#: Where Grafana keeps annotations that it was given, as by the module `grafana_annotation`.
GRAFANA = DataSourceRef(type_val="grafana", uid="-- Grafana --")


class _FromSeries(AnnotationQuery, Builder[AnnotationQuery]):
    """The moments at which a query of Prometheus gives more than 0; those a step apart are one event.

    The library has no fields for such a query. Grafana 11 reads `expr` and `step`, later ones read `target`.
    """

    def __init__(self, name: str, expression: str, colour: str, title: str) -> None:
        super().__init__(name=name, datasource=SOURCE, icon_color=colour)
        self._expression = expression
        self._title = title

    def build(self) -> AnnotationQuery:
        return self

    def to_json(self) -> dict[str, object]:
        return super().to_json() | {
            "expr": self._expression,
            "step": SCRAPE_INTERVAL,
            "target": {"expr": self._expression, "interval": SCRAPE_INTERVAL, "refId": "Anno"},
            "titleFormat": self._title,
        }


def _kept(name: str, tag: str, colour: str) -> build.AnnotationQuery:
    tags = ["c100k", "run:$run", tag]
    target = build.AnnotationTarget().type("tags").tags(tags).match_any(False).limit(100)
    return build.AnnotationQuery().name(name).datasource(GRAFANA).enable(True).icon_color(colour).target(target)


def time_line() -> list[Builder[AnnotationQuery]]:
    """The hold, broken rules and silent servers as Prometheus sees them; phases and faults where Grafana was told."""
    broken = f'max by (run) (ALERTS{{alertstate="firing",severity=~"sla|validity",{RUN}}})'
    silent = f'(up{{job="c100k-server",{RUN}}} == bool 0) and on (run) run:c100k_target_connections:sum'
    return [
        _FromSeries("Hold", f"run:c100k_hold:min{{{RUN}}}", "blue", "All generators hold"),
        _FromSeries("A rule is broken", broken, "red", "A rule of the run is broken"),
        _FromSeries("A server does not answer", silent, "orange", "The server on {{host}} does not answer"),
        _kept("Phases", "phase", "purple"),
        _kept("Faults", "fault", "yellow"),
    ]

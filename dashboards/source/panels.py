"""What all dashboards have in common: the data source, the variables, and two kinds of panels."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

#: Which Prometheus is chosen at the top of each dashboard.
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

#: Label matchers of the variables, for queries: a run, the hosts of it, and the workers of a server.
RUN = 'run=~"$run"'
HOST = f'{RUN},host=~"$host"'
WORKER = f'{HOST},worker=~"$worker"'

#: Widths, of 24.
HALF, THIRD, QUARTER = 12, 8, 6


def board(name: str, title: str, description: str, *, workers: bool = False) -> Dashboard:
    """A dashboard without panels. `workers` are chosen in one that tells them apart."""
    made = (
        Dashboard(f"c100k: {title}")
        .uid(f"c100k-{name}")
        .description(description)
        .tags(["c100k"])
        .refresh("5s")
        .time("now-15m", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            DashboardLink("c100k").type(DashboardLinkType.DASHBOARDS).tags(["c100k"]).keep_time(True).include_vars(True)
        )
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_variable("run", 'up{run!=""}', newest_first=True))
        .with_variable(_variable("host", 'up{run=~"$run"}', several=True))
        .annotation(_marked("Hold", f"run:c100k_hold:min{{{RUN}}} == 1", "blue"))
        .annotation(_marked("A rule is broken", f'ALERTS{{alertstate="firing",{RUN}}}', "red"))
        .annotation(_marked("A server does not answer", f'up{{job="c100k-server",{RUN}}} == 0', "orange"))
    )
    if workers:
        made = made.with_variable(_variable("worker", 'c100k_server_up{run=~"$run",host=~"$host"}', several=True))
    return made


def chart(
    title: str,
    description: str,
    unit: str,
    queries: Mapping[str, str],
    *,
    width: int = HALF,
    limit: float | None = None,
) -> timeseries.Panel:
    """Lines over time, by their legends. A `limit` is drawn as a line of its own."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(SOURCE)
        .span(width)
        .height(8)
        .fill_opacity(8)
        .span_nulls(15_000)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .thresholds(_thresholds(limit))
    )
    if limit is not None:
        panel = panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED))
    for letter, (legend, expression) in zip(ascii_uppercase, queries.items(), strict=False):
        panel = panel.with_target(prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend).range())
    return panel


def figure(
    title: str, description: str, unit: str, expression: str, *, width: int = QUARTER, limit: float | None = None
) -> stat.Panel:
    """The last value, in red from `limit` on."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .span(width)
        .height(4)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(limit))
        .with_target(prometheus.Dataquery().ref_id("A").expr(expression).range())
    )


def _thresholds(limit: float | None) -> ThresholdsConfig:
    steps = [Threshold(color="green")] + ([] if limit is None else [Threshold(color="red", value=limit)])
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def _variable(name: str, series: str, *, several: bool = False, newest_first: bool = False) -> QueryVariable:
    variable = (
        QueryVariable(name)
        .query({"query": f"label_values({series}, {name})", "refId": name})
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_DESC if newest_first else VariableSort.ALPHABETICAL_ASC)
    )
    return variable.multi(True).include_all(True).all_value(".*") if several else variable


def _marked(name: str, expression: str, colour: str) -> AnnotationQuery:
    query = AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False)
    return query.icon_color(colour).expr(expression)

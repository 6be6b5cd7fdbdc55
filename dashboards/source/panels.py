"""What all dashboards have in common: the variables, and three kinds of panels."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, prometheus, stat, timeseries
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    LineInterpolation,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)

from source.annotations import time_line
from source.prometheus import SCRAPE_INTERVAL, SOURCE

#: Widths, of 24.
HALF, THIRD, QUARTER = 12, 8, 6

#: The legends of lines that others are not to cross, or are to follow. They are dashed.
LIMIT, PLANNED = "limit", "planned"
_DASHED = {LIMIT: "red", PLANNED: "text"}

#: Units of what is often 0 all the time: without a soft maximum Grafana's axis would go to 100 then.
_COUNTS = ("short", "ops", "reqps")


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
        .annotations(time_line())
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_variable("run", 'up{run!=""}', newest_first=True))
        .with_variable(_variable("host", 'up{run=~"$run"}', several=True))
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
    logarithmic: bool = False,
) -> timeseries.Panel:
    """Lines over time, by their legends."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .min(0)
        .datasource(SOURCE)
        .interval(SCRAPE_INTERVAL)
        .span(width)
        .height(8)
        .line_width(2)
        .show_points(VisibilityMode.NEVER)
        .span_nulls(15_000)
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if logarithmic:
        base = 2 if unit == "bytes" else 10
        panel = panel.scale_distribution(common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(base))
    if unit in _COUNTS:
        panel = panel.axis_soft_max(1)
    for legend in filter(_DASHED.__contains__, queries):
        panel = panel.override_by_name(legend, _dashed(_DASHED[legend]))
    for letter, (legend, expression) in zip(ascii_uppercase, queries.items(), strict=False):
        panel = panel.with_target(prometheus.Dataquery().ref_id(letter).expr(expression).legend_format(legend).range())
    return panel


def counts(
    title: str, description: str, expression: str, *, legend: str = "{{host}}", width: int = HALF
) -> timeseries.Panel:
    """Bands that are one on the other: the height of all is how many there are, and a gap is what is missing."""
    return (
        chart(title, description, "short", {legend: expression}, width=width)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
        .line_interpolation(LineInterpolation.STEP_AFTER)
        .fill_opacity(40)
        .decimals(0)
    )


def figure(
    title: str,
    description: str,
    unit: str,
    expression: str,
    *,
    calculation: str = "lastNotNull",
    limit: float | None = None,
) -> stat.Panel:
    """One value of all that the expression had, by default the last, in red from `limit` on."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .interval(SCRAPE_INTERVAL)
        .span(QUARTER)
        .height(4)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs([calculation]))
        .thresholds(_thresholds(limit))
        .with_target(prometheus.Dataquery().ref_id("A").expr(expression).range())
    )


def _dashed(colour: str) -> list[DynamicConfigValue]:
    return [
        DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour}),
        DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [10, 10]}),
    ]


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

"""What a Prometheus has for a dashboard, asked as Grafana asks."""

from __future__ import annotations

import json
import math
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

#: Where a panel has no `interval`, Grafana asks for no more than one value in this time.
DEFAULT_INTERVAL_S = 15

#: Grafana asks for at most one value a pixel; the panels are 400 pixels wide and more.
MOST_VALUES = 400

ANSWER_LIMIT_S = 60
LOOK_BACK_S = 30 * 24 * 3600
COARSE_STEP_S = 3600


class NoRunError(Exception):
    """Prometheus has not seen the run, or any."""


@dataclass(frozen=True)
class Run:
    """A run, and from when to when it is drawn, in seconds since the epoch."""

    url: str
    name: str
    start_s: float
    end_s: float


def find(url: str, name: str | None) -> Run:
    """The run with this name, or the one whose name sorts last, as the dashboards choose it.

    It ends with its hold, if it came to that: then what is the last value is none of the winding down.

    Raises:
        NoRunError: Prometheus has not seen it in the last 30 days.
    """
    if name is None:
        names: list[str] = _get(url, "label/run/values")
        if not names:
            raise NoRunError(f"{url} has not seen any run")
        name = max(names)
    now = time.time()
    hours = _times(url, _seen(name, COARSE_STEP_S), now - LOOK_BACK_S, now + COARSE_STEP_S, COARSE_STEP_S)
    if not hours:
        raise NoRunError(f"{url} has not seen the run {name} in the last 30 days")
    span = (hours[0] - COARSE_STEP_S, hours[-1], DEFAULT_INTERVAL_S)
    watched = _times(url, _seen(name, DEFAULT_INTERVAL_S), *span)
    held = _times(url, f'run:c100k_hold:min{{run="{name}"}} == 1', *span)
    return Run(url, name, watched[0] - DEFAULT_INTERVAL_S, (held or watched)[-1])


def drawing(dashboard: dict[str, Any], run: Run) -> dict[str, Any]:
    """The dashboard with all that its queries give over the whole run; `model.ts` has the shape."""
    panels = [
        {target["refId"]: _answer(run, target["expr"], panel.get("interval")) for target in panel["targets"]}
        for panel in dashboard["panels"]
    ]
    annotations = {
        annotation["name"]: _answer(run, annotation["target"]["expr"], annotation["target"]["interval"])
        for annotation in dashboard["annotations"]["list"]
        if annotation["datasource"]["type"] == "prometheus"
    }
    labels = {
        variable["name"]: run.name if variable["name"] == "run" else "All"
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    }
    span = {"from_ms": round(run.start_s * 1000), "to_ms": round(run.end_s * 1000)}
    return {"dashboard": dashboard, "variables": labels, "panels": panels, "annotations": annotations, **span}


def without_data(drawing: dict[str, Any]) -> list[str]:
    """The titles of the panels that have no value at all."""
    panels = zip(drawing["dashboard"]["panels"], drawing["panels"], strict=True)
    return [panel["title"] for panel, answers in panels if not any(answer["series"] for answer in answers.values())]


def _answer(run: Run, expression: str, interval: str | None) -> dict[str, Any]:
    least_s = DEFAULT_INTERVAL_S if interval is None else int(interval.removesuffix("s"))
    step_s = max(least_s, math.ceil((run.end_s - run.start_s) / MOST_VALUES))
    for variable, value in {"$run": run.name, "$host": ".*", "$worker": ".*"}.items():
        expression = expression.replace(variable, value)
    start_s, end_s = math.floor(run.start_s / step_s) * step_s, math.ceil(run.end_s / step_s) * step_s
    return {"step_s": step_s, "series": _range(run.url, expression, start_s, end_s, step_s)}


def _times(url: str, expression: str, start_s: float, end_s: float, step_s: int) -> list[float]:
    """The steps at which the expression of a single series has a value."""
    return [
        float(moment) for series in _range(url, expression, start_s, end_s, step_s) for moment, _ in series["values"]
    ]


def _seen(name: str, step_s: int) -> str:
    """Has a value when Prometheus saw the run within a step."""
    return f'count(count_over_time(up{{run="{name}"}}[{step_s}s]))'


def _range(url: str, expression: str, start_s: float, end_s: float, step_s: int) -> list[dict[str, Any]]:
    data = _get(url, "query_range", query=expression, start=start_s, end=end_s, step=step_s)
    found: list[dict[str, Any]] = data["result"]
    return found


def _get(url: str, path: str, **parameters: str | float) -> Any:
    address = f"{url.rstrip('/')}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(address, timeout=ANSWER_LIMIT_S) as answer:
        return json.load(answer)["data"]

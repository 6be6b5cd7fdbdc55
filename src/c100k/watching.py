"""What it took to watch a run with Prometheus, from what that has counted of itself and of those it asked.

The file is the answer of its HTTP API about all samples of three metrics, taken when the run was over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from c100k.record import Monitoring
from c100k.run_directory import RunDirectory, RunDirectoryError

#: Who counts its own processor time, by the job that asks it.
_PROMETHEUS, _NODE_EXPORTER = "prometheus", "node"

#: Who answers beside its work, and does not count what an answer takes.
_ANSWERING = ("c100k-server", "c100k-loadgen")


class _Series(NamedTuple):
    """A metric of one target in the hold, by the time at which that was asked."""

    job: str
    host: str
    values: Mapping[float, float]


def judge(run: RunDirectory, hold: range, substrate: str, cores: Mapping[str, int | None]) -> Monitoring | None:
    """What the watching took in the seconds of the hold; `cores` are those of each host.

    Raises:
        RunDirectoryError: the file does not hold an answer of Prometheus.
    """
    try:
        result = json.loads(run.watching.read_text())["data"]["result"]
        cpu, up, took = (
            list(_read(result, name, hold)) for name in ("process_cpu_seconds_total", "up", "scrape_duration_seconds")
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{run.watching} does not hold an answer of Prometheus: {error}.") from None
    if not hold:
        return None
    answered = {(each.job, each.host, t) for each in up for t, value in each.values.items() if value}
    prometheus, exporters = (
        {each.host: used for each in cpu if each.job == job and (used := _processors(each)) is not None}
        for job in (_PROMETHEUS, _NODE_EXPORTER)
    )
    answering = [
        (each.host, sum(value for t, value in each.values.items() if (each.job, each.host, t) in answered))
        for each in took
        if each.job in _ANSWERING
    ]
    busy = [(host, seconds / len(hold)) for host, seconds in answering]
    return Monitoring(
        scrapes=len(answered),
        scrapes_failed=sum(len(each.values) for each in up) - len(answered),
        prometheus_cores=sum(prometheus.values()) if prometheus else None,
        node_exporter_cores=sum(exporters.values()) if exporters else None,
        answering_cores=sum(used for _, used in busy) if busy else None,
        machine_share=(
            _machine_share(substrate, cores, [*prometheus.items(), *exporters.items(), *busy]) if prometheus else None
        ),
    )


def _read(result: Iterable[Mapping[str, Any]], name: str, hold: range) -> Iterator[_Series]:
    for series in result:
        labels = series["metric"]
        if labels["__name__"] == name:
            values = {float(t): float(value) for t, value in series["values"] if hold.start <= t < hold.stop}
            yield _Series(labels["job"], labels["host"], values)


def _processors(counted: _Series) -> float | None:
    """How many processors a program used on average; a counter that has fallen began anew."""
    samples = sorted(counted.values.items())
    if len(samples) < 2:
        return None
    growth = sum(now - before if now >= before else now for (_, before), (_, now) in pairwise(samples))
    return growth / (samples[-1][0] - samples[0][0])


def _machine_share(
    substrate: str, cores: Mapping[str, int | None], used: Collection[tuple[str, float]]
) -> float | None:
    """The share of the machine that was watched most. The hosts of a lab and the controller are one machine."""
    if substrate == "lab":
        known = [count for count in cores.values() if count]
        return sum(processors for _, processors in used) / max(known) if known else None
    return max(
        (sum(mine for host, mine in used if host == name) / count for name, count in cores.items() if count),
        default=None,
    )

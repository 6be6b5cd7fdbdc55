"""What it took to watch a run with Prometheus, from what that has counted of itself and of those it asked.

The file is the answer of its HTTP API about all samples of some metrics, taken when the run was over.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

from c100k.record import Monitoring
from c100k.run_directory import RunDirectory, RunDirectoryError

#: Whose processor time is all for watching, by the job that asks it.
_PROMETHEUS, _NODE_EXPORTER = "prometheus", "node"

#: The processor time of who answers beside its work.
_ANSWERS = ("c100k_server_metrics_cpu_seconds_total", "c100k_loadgen_metrics_cpu_seconds_total")


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
        cpu, up = (list(_read(result, hold, name)) for name in ("process_cpu_seconds_total", "up"))
        answers = list(_read(result, hold, *_ANSWERS))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{run.watching} does not hold an answer of Prometheus: {error}.") from None
    if not hold:
        return None
    scrapes = [value for each in up for value in each.values.values()]
    prometheus, exporters = (_used(each for each in cpu if each.job == job) for job in (_PROMETHEUS, _NODE_EXPORTER))
    answering = _used(answers)
    used = [*prometheus, *exporters, *answering]
    return Monitoring(
        scrapes=sum(map(bool, scrapes)),
        scrapes_failed=sum(not each for each in scrapes),
        prometheus_cores=_total(prometheus),
        node_exporter_cores=_total(exporters),
        answering_cores=_total(answering),
        machine_share=_machine_share(substrate, cores, used) if prometheus and answering else None,
    )


def _read(result: Iterable[Mapping[str, Any]], hold: range, *names: str) -> Iterator[_Series]:
    for series in result:
        labels = series["metric"]
        if labels["__name__"] in names:
            values = {float(t): float(value) for t, value in series["values"] if hold.start <= t < hold.stop}
            yield _Series(labels["job"], labels["host"], values)


def _used(counted: Iterable[_Series]) -> list[tuple[str, float]]:
    """Host and processors of each program for which that is known."""
    return [(each.host, used) for each in counted if (used := _processors(each)) is not None]


def _total(used: Collection[tuple[str, float]]) -> float | None:
    return sum(processors for _, processors in used) if used else None


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

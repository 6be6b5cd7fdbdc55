"""What became of the publishes: who heard of each, how soon, and how late the publishers were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from c100k.record import FanOut, Percentiles, Publish
from c100k.samples import HostSamples

Row = Mapping[str, str]


def publishers(hosts: Iterable[HostSamples]) -> int:
    """The connections that publish, which come on top of those that are held."""
    return sum(len((host.plan.get("fan_out") or {}).get("publish_to", [])) for host in hosts)


def judge(hosts: Sequence[HostSamples], latency: Percentiles) -> FanOut | None:
    """The fan-outs of a run; `None` when it had none."""
    plan = next((host.plan for host in hosts if host.plan.get("fan_out")), None)
    if plan is None:
        return None
    heard, published = _by_moment(hosts, "heard"), _by_moment(hosts, "published")
    each = [_publish(moment, heard[moment], published.get(moment, [])) for moment in sorted(heard)]
    complete = [moment for moment in heard if _listened_to(heard[moment]) <= _attempted(published.get(moment, []))]
    return FanOut(
        planned=plan["hold_s"] // plan["fan_out"]["every_s"],
        publishes=sum(_sum(heard[moment], "listeners") > 0 for moment in complete),
        listeners=sum(publish.listeners for publish in each),
        delivered=sum(publish.delivered for publish in each),
        missing=sum(publish.missing for publish in each),
        duplicated=sum(publish.duplicated for publish in each),
        latency_ms=latency,
        last_ms=_most(publish.last_ms for publish in each),
        slip_max_ms=_most(publish.slip_ms for publish in each),
        publish_errors=dict(Counter(row["cause"] for rows in published.values() for row in rows if row["cause"])),
        each=each,
    )


def _publish(moment: float, heard: Sequence[Row], published: Sequence[Row]) -> Publish:
    listeners, delivered = _sum(heard, "listeners"), _sum(heard, "delivered")
    return Publish(
        moment=moment,
        listeners=listeners,
        delivered=delivered,
        missing=listeners - delivered,
        duplicated=_sum(heard, "duplicated"),
        last_ms=_most(_milliseconds(row["last_ms"]) for row in heard),
        slip_ms=_most(_milliseconds(row["slip_ms"]) for row in published),
    )


def _by_moment(hosts: Iterable[HostSamples], name: str) -> dict[float, list[Row]]:
    """Rows by the moment of their publish; it is agreed on all hosts, up to what their clocks differ."""
    found: dict[float, list[Row]] = {}
    for host in hosts:
        for row in getattr(host, name):
            found.setdefault(round(float(row["moment"]), 1), []).append(row)
    return found


def _listened_to(heard: Iterable[Row]) -> set[str]:
    return {row["target"] for row in heard if int(row["listeners"])}


def _attempted(published: Iterable[Row]) -> set[str]:
    """Targets that somebody published to; that one was gone by then is no fault of the generator."""
    return {row["target"] for row in published}


def _sum(rows: Iterable[Row], column: str) -> int:
    return sum(int(row[column]) for row in rows)


def _milliseconds(cell: str) -> float | None:
    return float(cell) if cell else None


def _most(figures: Iterable[float | None]) -> float | None:
    return max((figure for figure in figures if figure is not None), default=None)

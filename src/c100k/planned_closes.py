"""What became of the connections that the plan closed on purpose, by churn and by a reconnect storm."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from c100k.distribution import Distribution
from c100k.raw_csv import complete_rows
from c100k.record import Churn, Storm
from c100k.run_directory import RunDirectory
from c100k.samples import HostSamples

#: The logs of what opening them again took.
CHURN, STORM = "churn_connect", "storm_connect"

#: When servers and kernels are asked for what they count in a second: the sampler's timer may be a little early, and it
#: waits so long for an answer.
ASKED_FROM_S, ASKED_UNTIL_S = -0.1, 0.7

Row = Mapping[str, str]


def churn(run: RunDirectory, hosts: Iterable[HostSamples], logs: Mapping[str, Distribution]) -> Churn | None:
    """What became of those that were closed in their turn; `None` when the plan closed none so."""
    by_host = [_rows(run, host, "churn") for host in hosts if host.plan.get("churn_per_s")]
    if not by_host:
        return None
    rows = [row for each in by_host for row in each]
    return Churn(
        closed=len(rows),
        back=len(_back(rows)),
        failed=_sum(rows, "failed"),
        refused=_sum(rows, "refused"),
        connect_ms=logs[CHURN].percentiles(),
    )


def storm(run: RunDirectory, hosts: Iterable[HostSamples], logs: Mapping[str, Distribution]) -> Storm | None:
    """What became of those that a storm hit; `None` when the plan had none."""
    by_host = [_rows(run, host, "storm") for host in hosts if host.plan.get("storm")]
    if not by_host:
        return None
    rows = [row for each in by_host for row in each]
    closed, back = len(rows), len(_back(rows))
    return Storm(
        closed=closed,
        back=back,
        all_back_s=max(map(_took_s, filter(None, by_host)), default=None) if back == closed else None,
        failed=_sum(rows, "failed"),
        refused=_sum(rows, "refused"),
        connect_ms=logs[STORM].percentiles(),
    )


def on_their_way(run: RunDirectory, hosts: Iterable[HostSamples]) -> dict[int, int]:
    """How many were closed at one moment, at most, while servers and kernels were asked for a second; by the second.

    Generators close many at the same moment, and it may be the one at which they are counted. None of these was
    overdue: what took longer to come back than an attempt may take is known from the counts of the generators alone.
    """
    changes: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for host in hosts:
        longest_s = float(host.plan.get("timeout_s", 0))
        for path in sorted(run.host(host.name).glob("*-reopenings.csv")):
            for row in complete_rows(path):
                closed_at, opened_at = float(row["closed_at"]), float(row["opened_at"] or math.inf)
                if opened_at - closed_at <= longest_s:
                    for t in range(math.ceil(closed_at - ASKED_UNTIL_S), math.floor(opened_at - ASKED_FROM_S) + 1):
                        gone, back = max(closed_at, t + ASKED_FROM_S), min(opened_at, t + ASKED_UNTIL_S)
                        changes[t] += [(gone, False), (back, True)]
    return {t: _most(each) for t, each in changes.items()}


def _most(changes: list[tuple[float, bool]]) -> int:
    """The most that are away at once, from the moments at which each was gone or back."""
    away = most = 0
    for _, is_back in sorted(changes):
        away += -1 if is_back else 1
        most = max(most, away)
    return most


def _rows(run: RunDirectory, host: HostSamples, why: str) -> list[Row]:
    paths = sorted(run.host(host.name).glob("*-reopenings.csv"))
    return [row for path in paths for row in complete_rows(path) if row["why"] == why]


def _took_s(rows: Sequence[Row]) -> float:
    """From the first close to the last return, by the clock of the one host that all these rows are of."""
    return round(max(_back(rows)) - min(float(row["closed_at"]) for row in rows), 3)


def _back(rows: Iterable[Row]) -> list[float]:
    return [float(row["opened_at"]) for row in rows if row["opened_at"]]


def _sum(rows: Iterable[Row], column: str) -> int:
    return sum(int(row[column]) for row in rows)

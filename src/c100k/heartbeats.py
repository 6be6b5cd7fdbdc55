"""What became of the pings that every session sends once in a while."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from c100k.distribution import Distribution
from c100k.raw_csv import complete_rows
from c100k.record import Heartbeats
from c100k.run_directory import RunDirectory
from c100k.samples import HostSamples

#: The log of their response times.
PING = "ping"


def judge(run: RunDirectory, hosts: Sequence[HostSamples], logs: Mapping[str, Distribution]) -> Heartbeats | None:
    """The pings of a run; `None` when its plan asks for none."""
    pinging = [host for host in hosts if host.plan.get("heartbeat_s")]
    if not pinging:
        return None
    rows = [row for host in pinging for path in run.host(host.name).glob("*-pings.csv") for row in complete_rows(path)]
    sent, answered = (sum(int(row[column]) for row in rows) for column in ("sent", "answered"))
    causes: Counter[str] = Counter()
    for each in (each for host in pinging for each in host.causes if each.kind == "ping_error"):
        causes[each.cause] += each.count
    return Heartbeats(
        sent=sent,
        answered=answered,
        error_rate=(sent - answered) / sent if sent else None,
        error_causes=dict(causes),
        latency_ms=logs[PING].percentiles(),
    )

"""What a fault did to the sessions of its host: how soon they were missed, and how soon they went on elsewhere."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from c100k.raw_csv import complete_rows
from c100k.run_directory import RunDirectory

#: The clocks of two hosts may differ so much when they say what came first.
CLOCKS_DIFFER_S = 0.5

#: What a session may take to go on, from the fault.
SOON_S = 5.0

#: The kind of fault that takes the state from all servers, and no host from anybody.
STATE_DOWN = "state_down"


class Resumption(msgspec.Struct, frozen=True, kw_only=True):
    """A session that lost its connection. Times are Unix seconds; without `resumed_at` it was still away at the end.

    `outcome` is `resumed`, `session_lost` for one that was unknown and had to begin anew, or `away`.
    """

    host: str
    session: int
    lost_at: float
    cause: str
    source: str
    to: str
    attempts: int
    resumed_at: float | None
    missed: int
    outcome: str


class Fault(msgspec.Struct, frozen=True):
    """A fault as it was injected; it is over at `healed_at`, what it had killed runs again at `up_at`, and its host is
    whole again at `healthy_at`. One on several hosts at once lasts from the first to the last of them."""

    name: str
    kind: str
    host: str
    injected_at: float
    healed_at: float | None = None
    healthy_at: float | None = None
    up_at: float | None = None

    @property
    def hosts(self) -> list[str]:
        return self.host.split(", ")


class Spread(msgspec.Struct, frozen=True):
    """Seconds over all sessions, each a value that occurred; nothing of none."""

    p50: float | None
    p999: float | None
    max: float | None


class Recovery(msgspec.Struct, frozen=True, kw_only=True):
    """One fault, and the sessions that its host lost by it. Times count from the injection.

    `detected_s` is when the generators gave the connections up, `reconnected_s` when the sessions were resumed.
    `healthy_s` is from the healing until the host was whole again: its server ready, and the cluster as it was before.
    `sessions_lost` began anew, `sessions_away` never came back; `spread` is where the resumed ones went.
    """

    fault: str
    kind: str
    host: str
    injected_at: float
    healed_at: float | None
    detected_s: Spread
    reconnected_s: Spread
    healthy_s: float | None
    sessions_affected: int
    sessions_resumed: int
    sessions_lost: int
    sessions_away: int
    resumed_within_5s_share: float | None
    causes: dict[str, int]
    spread: dict[str, int]


def recoveries(run: RunDirectory) -> list[Recovery]:
    """What became of each fault of a run that took a host from its sessions, in their order."""
    resumptions = read_resumptions(run)
    return [_recovery(fault, resumptions) for fault in read_faults(run.faults) if fault.kind != STATE_DOWN]


def read_resumptions(run: RunDirectory) -> list[Resumption]:
    """What all generators wrote, by the time of the loss."""
    found = [
        Resumption(
            host=path.parent.name,
            session=int(row["session"]),
            lost_at=float(row["lost_at"]),
            cause=row["cause"],
            source=row["from"],
            to=row["to"],
            attempts=int(row["attempts"]),
            resumed_at=float(row["resumed_at"]) if row["resumed_at"] else None,
            missed=int(row["missed"] or 0),
            outcome=row["outcome"],
        )
        for path in sorted(run.hosts.glob("*/*-resumptions.csv"))
        for row in complete_rows(path)
    ]
    return sorted(found, key=lambda each: each.lost_at)


def read_faults(path: Path) -> list[Fault]:
    """The faults in `faults.jsonl`, by the time of their injection; the state goes down on all of its hosts at once."""
    return [_joined(together) for together in read_by_host(path)]


def read_by_host(path: Path) -> list[list[Fault]]:
    """The same, each as its parts: one a host."""
    found: list[list[Fault]] = []
    for fault in _read_each(path):
        last = found[-1][-1] if found else None
        if last is not None and fault.kind == last.kind == STATE_DOWN and fault.injected_at < _or_never(last.healed_at):
            found[-1].append(fault)
        else:
            found.append([fault])
    return found


def _joined(parts: Sequence[Fault]) -> Fault:
    first = parts[0]
    return Fault(
        first.name,
        first.kind,
        ", ".join(sorted(part.host for part in parts)),
        first.injected_at,
        healed_at=_last(part.healed_at for part in parts),
        healthy_at=_last(part.healthy_at for part in parts),
        up_at=_last(part.up_at for part in parts),
    )


def _last(moments: Iterable[float | None]) -> float | None:
    last = max(map(_or_never, moments))
    return None if math.isinf(last) else last


def _or_never(moment: float | None) -> float:
    return math.inf if moment is None else moment


def _read_each(path: Path) -> list[Fault]:
    """Each line is a fault that was injected or healed, or a host that was healthy after that."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    faults: list[Fault] = []
    last: dict[tuple[str, str], int] = {}
    for note in sorted((json.loads(line) for line in lines if line.endswith("\n")), key=lambda note: note["at"]):
        key = note["host"], note["name"]
        if note["state"] == "injected":
            last[key] = len(faults)
            faults.append(Fault(note["name"], note.get("kind", ""), note["host"], note["at"]))
        elif key in last:
            ends = {"healthy_at": note["at"]}
            if note["state"] == "healed":
                ends = {"healed_at": note["at"], "up_at": note.get("up_at", note["at"])}
            faults[last[key]] = msgspec.structs.replace(faults[last[key]], **ends)
    return faults


def _recovery(fault: Fault, resumptions: Sequence[Resumption]) -> Recovery:
    since = fault.injected_at - CLOCKS_DIFFER_S
    until = _or_never(fault.healed_at)
    affected: dict[tuple[str, int], Resumption] = {}
    for each in resumptions:
        if each.source == fault.host and since <= each.lost_at < until:
            affected.setdefault((each.host, each.session), each)
    resumed = [each for each in affected.values() if each.outcome == "resumed"]
    reconnected = [_since(fault, each.resumed_at) for each in resumed if each.resumed_at is not None]
    soon = sum(seconds <= SOON_S for seconds in reconnected)
    return Recovery(
        fault=fault.name,
        kind=fault.kind,
        host=fault.host,
        injected_at=fault.injected_at,
        healed_at=fault.healed_at,
        detected_s=_spread([_since(fault, each.lost_at) for each in affected.values()]),
        reconnected_s=_spread(reconnected),
        healthy_s=_between(fault.healed_at, fault.healthy_at),
        sessions_affected=len(affected),
        sessions_resumed=len(resumed),
        sessions_lost=sum(each.outcome == "session_lost" for each in affected.values()),
        sessions_away=sum(each.outcome == "away" for each in affected.values()),
        resumed_within_5s_share=soon / len(affected) if affected else None,
        causes=dict(Counter(each.cause for each in affected.values())),
        spread=dict(Counter(each.to for each in resumed)),
    )


def _between(first: float | None, then: float | None) -> float | None:
    return None if first is None or then is None else then - first


def _since(fault: Fault, t: float) -> float:
    return max(0.0, t - fault.injected_at)


def _spread(seconds: Sequence[float]) -> Spread:
    ordered = sorted(seconds)
    if not ordered:
        return Spread(None, None, None)
    return Spread(_nearest(ordered, 0.5), _nearest(ordered, 0.999), ordered[-1])


def _nearest(ordered: Sequence[float], share: float) -> float:
    """The nearest-rank percentile."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

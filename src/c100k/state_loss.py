"""What became of a run while its state was down: Redis was killed on all hosts at once, and started again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from c100k.operations import ERROR, REFUSED, UNKNOWN, attempts
from c100k.outages import NEAR_S
from c100k.recovery import SOON_S, STATE_DOWN, Fault, read_by_host, read_faults
from c100k.run_directory import RunDirectory
from c100k.samples import ON_PURPOSE, STATE_UNAVAILABLE, HostSamples


class StateLoss(msgspec.Struct, frozen=True, kw_only=True):
    """The state was down from `began_at` on and ran again, all of it, at `up_at`; times in seconds count from there.

    `closes` are connections that closed from the beginning until it was back, other than on purpose. While none of it
    ran, so many messages were `answered`, so many `failed` otherwise than for want of state, and so many increments
    were `acknowledged`, which nothing can have stored. Of the attempts at increments so many were `refused` with the
    retryable error, and of so many the outcome is `unknown`.

    `acknowledged_s` is by server when it first acknowledged an increment again, `refused_s` when one was last refused.
    `back_s` is the latest of these, and unknown when a server never did. `healthy_s` is until the cluster was as
    before. `rss_` is the memory of all servers: just before, at the most until it was back, and at the end of the hold.
    """

    hosts: list[str]
    began_at: float
    healed_at: float | None
    up_at: float | None
    closes: int
    answered: int
    failed: int
    refused: int
    unknown: int
    acknowledged: int
    acknowledged_s: dict[str, float | None]
    refused_s: float | None
    back_s: float | None
    healthy_s: float | None
    rss_before_bytes: int | None
    rss_most_bytes: int | None
    rss_after_bytes: int | None


@dataclass(frozen=True)
class Span:
    """From the first death to all of it running again; none of it ran from `down_at` to `healed_at`."""

    hosts: list[str]
    began_at: float
    down_at: float
    first_healed_at: float
    healed_at: float
    up_at: float
    healthy_at: float

    @property
    def without(self) -> range:
        """The whole seconds in which none of it ran."""
        if math.isinf(self.first_healed_at):
            return range(0)
        return range(math.ceil(self.down_at), math.floor(self.first_healed_at))


def spans(run: RunDirectory) -> list[Span]:
    """All of a run, in their order."""
    return [_span(parts) for parts in read_by_host(run.faults) if parts[0].kind == STATE_DOWN]


def _span(parts: Sequence[Fault]) -> Span:
    def known(moments: Iterator[float | None]) -> list[float]:
        return [math.inf if moment is None else moment for moment in moments]

    return Span(
        hosts=sorted(part.host for part in parts),
        began_at=min(part.injected_at for part in parts),
        down_at=max(part.injected_at for part in parts),
        first_healed_at=min(known(part.healed_at for part in parts)),
        healed_at=max(known(part.healed_at for part in parts)),
        up_at=max(known(part.up_at for part in parts)),
        healthy_at=max(known(part.healthy_at for part in parts)),
    )


def judge(run: RunDirectory, hosts: Sequence[HostSamples], servers: frozenset[str], hold: range) -> list[StateLoss]:
    """What became of each, until the next fault of whatever kind."""
    began = [fault.injected_at for fault in read_faults(run.faults)]
    return [
        _loss(run, span, min((at for at in began if at > span.down_at), default=math.inf), hosts, servers, hold)
        for span in spans(run)
    ]


def _loss(
    run: RunDirectory, span: Span, end: float, hosts: Sequence[HostSamples], servers: frozenset[str], hold: range
) -> StateLoss:
    back_by = span.up_at + SOON_S
    writes = _Writes(span, end, servers)
    for row in attempts(run):
        writes.add(float(row["t"]), row["target"], row["outcome"])
    rss = _memory([host for host in hosts if host.name in servers])
    return StateLoss(
        hosts=span.hosts,
        began_at=span.began_at,
        healed_at=_finite(span.healed_at),
        up_at=_finite(span.up_at),
        closes=_count(hosts, "close", ON_PURPOSE, span.began_at - NEAR_S, back_by),
        answered=sum(host.client[t].counts["answered"] for host in hosts for t in span.without if t in host.client),
        failed=_count(hosts, "message_error", (STATE_UNAVAILABLE,), span.without.start, span.without.stop - 1),
        refused=writes.refused,
        unknown=writes.unknown,
        acknowledged=writes.acknowledged,
        acknowledged_s=writes.again_s,
        refused_s=writes.refused_s,
        back_s=writes.back_s,
        healthy_s=_finite(span.healthy_at - span.up_at) if math.isfinite(span.up_at) else None,
        rss_before_bytes=next((rss[t] for t in sorted(rss, reverse=True) if t < span.began_at), None),
        rss_most_bytes=max((size for t, size in rss.items() if span.began_at <= t <= back_by), default=None),
        rss_after_bytes=next((rss[t] for t in sorted(rss, reverse=True) if t in hold), None),
    )


class _Writes:
    """The attempts at increments, from the beginning of one loss to the next fault."""

    def __init__(self, span: Span, end: float, servers: frozenset[str]) -> None:
        self.refused = self.unknown = self.acknowledged = 0
        self.again_s: dict[str, float | None] = dict.fromkeys(sorted(servers))
        self.refused_s: float | None = None
        self._span = span
        self._end = end

    def add(self, t: float, target: str, outcome: str) -> None:
        span = self._span
        if not span.began_at <= t < self._end:
            return
        if outcome in (ERROR, REFUSED, UNKNOWN):
            self.refused += outcome == REFUSED
            self.unknown += outcome == UNKNOWN
            # Sessions that go back to another target leave attempts of unknown outcome at any time.
            if outcome == REFUSED and t >= span.up_at:
                self.refused_s = max(self.refused_s or 0.0, t - span.up_at)
        elif t >= span.first_healed_at:
            if math.isfinite(span.up_at):
                self.again_s[target] = min(_or_never(self.again_s.get(target)), max(0.0, t - span.up_at))
        elif t > span.down_at + NEAR_S:
            self.acknowledged += 1

    @property
    def back_s(self) -> float | None:
        known = [seconds for seconds in self.again_s.values() if seconds is not None]
        return max([*known, self.refused_s or 0.0]) if known and len(known) == len(self.again_s) else None


def _or_never(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


def _finite(moment: float) -> float | None:
    return moment if math.isfinite(moment) else None


def _count(hosts: Sequence[HostSamples], kind: str, without: Sequence[str], start: float, end: float) -> int:
    return sum(
        each.count
        for host in hosts
        for each in host.causes
        if each.kind == kind and each.cause not in without and start <= each.t <= end
    )


def _memory(servers: Sequence[HostSamples]) -> Mapping[int, int]:
    """The memory of all servers, in the seconds for which each has told it."""
    told = [host.server for host in servers]
    complete = set(told[0]).intersection(*told[1:]) if told else set()
    return {t: sum(each[t].rss_bytes for each in told) for t in complete}

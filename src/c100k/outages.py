"""When hosts were down on purpose: which seconds a run is not judged by, and which counts cannot be had then.

All of it follows from `faults.jsonl`, which says when a fault took effect, when it was gone, and when the host was
whole again, and from the first count that the server gave after that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from c100k.recovery import SOON_S, STATE_DOWN, Fault, read_faults
from c100k.run_directory import RunDirectory
from c100k.samples import HostSamples

#: An event is noted with the second it happened in, and clocks of two hosts may differ by half of one.
NEAR_S = 1.0


@dataclass(frozen=True)
class Outage:
    """A host from its death until it is whole again; what has not happened (yet) is infinitely late.

    `counts_at` is when its server gave counts again, which it never ceased to when its host was only cut off, or the
    state alone was down. What was killed runs again from `up_at` on.
    """

    host: str
    kind: str
    injected_at: float
    healed_at: float
    up_at: float
    healthy_at: float
    counts_at: float

    @property
    def recovery(self) -> range:
        """The whole seconds in which sessions may still be on their way: so many as the rule allows, and no more.

        When the state is down, nobody is. When it is back, what was refused meanwhile is answered late.
        """
        if self.kind != STATE_DOWN:
            return range(math.floor(self.injected_at), math.ceil(self.injected_at + SOON_S))
        if math.isinf(self.up_at):
            return range(0)
        return range(math.floor(self.healed_at), math.ceil(self.up_at + SOON_S))

    @property
    def sockets_settled_at(self) -> float:
        """When the kernels count connections of clients and servers alone again, as before the death.

        Redis drops and makes connections between hosts until it is whole. A process that died silently leaves sockets
        that repeat their last words, each time after twice as long: after an outage of some length, the next time comes
        within that length, and is answered. One whose state was down was not silenced.
        """
        if self.kind == STATE_DOWN:
            return self.healthy_at + NEAR_S
        return max(self.healthy_at, self.healed_at + (self.healed_at - self.injected_at)) + NEAR_S

    def is_dead(self, t: int) -> bool:
        """Whether the server of the host cannot have a connection in the second `t`."""
        return math.floor(self.injected_at) <= t < self.counts_at

    def explains(self, target: str, t: int) -> bool:
        """Whether a connection to `target` may have closed, or failed, for this in the second `t`."""
        if self.kind == STATE_DOWN:
            return False
        return target == self.host and self.injected_at - NEAR_S <= t <= self.healthy_at + NEAR_S

    def excuses_refusals(self, t: int) -> bool:
        """Whether what needs state may have been given up, as refused, in the second `t`."""
        if self.kind != STATE_DOWN:
            return False
        return self.injected_at - NEAR_S <= t and (math.isinf(self.up_at) or t < self.recovery.stop)


def read(run: RunDirectory, hosts: Sequence[HostSamples]) -> list[Outage]:
    """The outages of a run, in the order of the deaths."""
    served = {host.name: host.server for host in hosts}
    return [_outage(fault, served.get(fault.host, {})) for fault in read_faults(run.faults)]


def _outage(fault: Fault, served: Iterable[int]) -> Outage:
    healed_at = math.inf if fault.healed_at is None else fault.healed_at
    healthy_at = math.inf if fault.healthy_at is None else fault.healthy_at
    up_at = math.inf if fault.up_at is None else fault.up_at
    if fault.kind in ("partition", STATE_DOWN):
        counts_at: float = math.floor(fault.injected_at)
    else:
        counts_at = min((t for t in served if t >= healed_at), default=math.inf)
    return Outage(fault.host, fault.kind, fault.injected_at, healed_at, up_at, healthy_at, counts_at)


def probes(hosts: Iterable[HostSamples], outages: Sequence[Outage], t: int) -> int:
    """The connections by which generators watch the targets that live: one of each worker to each target."""
    dead = {outage.host for outage in outages if outage.is_dead(t)}
    return sum(
        len(host.generator["workers"]) * sum(target["name"] not in dead for target in host.plan["targets"])
        for host in hosts
        if host.generator and host.plan.get("resume")
    )


def recovering(outages: Iterable[Outage]) -> frozenset[int]:
    """The seconds that lie in a recovery."""
    return frozenset(t for outage in outages for t in outage.recovery)

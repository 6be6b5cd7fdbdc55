# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What has to be done to a Redis Cluster so that every host has one master, and none shares a host with its replica.

The first port of a host is its master's. The replicas stand in a ring: the second port of the next host replicates it,
the third port (where there is one) of the host after that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.c100k.harness.plugins.module_utils.cluster_view import SLOTS, Instance

SMALLEST = 3


@dataclass(frozen=True)
class Layout:
    """What the inventory asks for: the masters in order, and the master of each replica."""

    masters: list
    master_of: dict

    @property
    def instances(self):
        return sorted([*self.masters, *self.master_of])


def layout(hosts, ports, bus_offset):
    """The ring over `hosts` (name and address each), and why it cannot be, one sentence each."""
    problems = []
    if len(hosts) < SMALLEST:
        problems.append(
            f"A Redis Cluster needs at least {SMALLEST} hosts, but the group has {len(hosts)}: a replica takes over "
            "when the majority of the masters agrees that its master is gone, and once one of two hosts is gone, the "
            "other is no majority."
        )
    if len(ports) < 2:
        problems.append(
            "Each host needs at least two ports, one for its master and one for the replica of another host."
        )
    elif len(hosts) < len(ports):
        problems.append(f"{len(ports) - 1} replicas of each master, on hosts of their own, need {len(ports)} hosts.")
    used = [port + offset for port in ports for offset in (0, bus_offset)]
    if len(set(used)) < len(used):
        problems.append(f"The ports and bus ports of a host must all differ; they are {sorted(used)}.")
    problems += [
        f"Two hosts have the same {what}."
        for what in ("host", "address")
        if len({host[what] for host in hosts}) < len(hosts)
    ]
    if problems:
        return None, problems
    by_rank = [[Instance(host["host"], host["address"], port, port + bus_offset) for host in hosts] for port in ports]
    masters = by_rank[0]
    master_of = {
        ranked[(number + rank) % len(hosts)]: master
        for rank, ranked in enumerate(by_rank)
        if rank
        for number, master in enumerate(masters)
    }
    return Layout(masters, master_of), []


@dataclass
class Plan:
    """Steps in the order in which they are taken."""

    meet: list = field(default_factory=list)
    forget: list = field(default_factory=list)
    settle: list = field(default_factory=list)
    add_slots: dict = field(default_factory=dict)
    attach: list = field(default_factory=list)
    promote: list = field(default_factory=list)
    replicate: list = field(default_factory=list)
    move: list = field(default_factory=list)
    follow: list = field(default_factory=list)

    def sentences(self):
        return [
            *(f"{instance} joins the cluster" for instance in self.meet),
            *(f"the node {node_id[:8]}, which is gone, is forgotten" for node_id in self.forget),
            *(f"the broken move of slot {slot} at {instance} is undone" for instance, slot in self.settle),
            *(f"{instance} gets {len(slots)} slots" for instance, slots in self.add_slots.items()),
            *(f"{replica} replicates {master}" for replica, master in self.attach),
            *(f"{instance} is promoted to master" for instance in self.promote),
            *(f"{replica} replicates {master}" for replica, master in self.replicate),
            *(f"{len(slots)} slots move from {source} to {target}" for source, target, slots in self.move),
            *(f"{replica} replicates {master}" for replica, master in self.follow),
        ]


def shares(masters):
    """Slots for each of so many masters, as even as can be."""
    return [SLOTS * (number + 1) // masters - SLOTS * number // masters for number in range(masters)]


def refusals(view, wanted):
    """What must be put right by hand, one sentence each."""
    found = []
    for instance, reading in view.readings.items():
        if reading.is_new and reading.keys:
            found.append(
                f"{instance} is in no cluster but holds {reading.keys} keys, which joining would destroy; "
                "empty it (FLUSHALL), or take another port."
            )
    declared = {(instance.address, instance.port) for instance in wanted.instances}
    known = {row.id: row for reading in view.readings.values() for row in reading.rows.values()}
    found += [
        f"{row.address}:{row.port} is in the cluster but not in the group; taking a host out is not done here: put it "
        "back into the group."
        for row in known.values()
        if not {"noaddr", "myself"}.intersection(row.flags) and (row.address, row.port) not in declared
    ]
    for master in wanted.masters:
        above = view.instance_of(view.readings[master].row.master_id)
        if above in wanted.masters:
            found.append(
                f"{master} was made a replica of {above}, which is the master of its own host; type CLUSTER RESET SOFT "
                f"at {master} and run this again."
            )
    members = view.members().values()
    covered = frozenset().union(*(reading.row.slots for reading in members if reading.row.is_master))
    if members and len(covered) < SLOTS and any(reading.keys for reading in members):
        found.append(
            f"{SLOTS - len(covered)} slots are served by nobody while others hold keys: what was in them is lost. "
            "To go on without, type redis-cli --cluster fix."
        )
    return found


def plan(view, wanted):
    """The steps from what `view` shows (all instances answer, and all members agree) to `wanted`."""
    steps = Plan()
    readings = view.readings
    members = view.members()
    steps.meet = [instance for instance in wanted.instances if instance not in members]
    steps.forget = sorted(
        {
            row.id
            for reading in members.values()
            for row in reading.rows.values()
            if "noaddr" in row.flags and view.instance_of(row.id) is None
        }
    )
    owned = {
        instance: set(reading.row.slots) if reading.row.is_master else set() for instance, reading in readings.items()
    }
    above = {instance: view.instance_of(reading.row.master_id) for instance, reading in readings.items()}
    _finish_broken_moves(view, steps, owned)
    _assign_slots(steps, owned, wanted)
    _return_masters(steps, owned, above, wanted)
    for replica, master in wanted.master_of.items():
        if above[replica] != master:
            step = (replica, master)
            # One that serves or holds nothing yet comes first, so that no master is without a replica meanwhile.
            kind = steps.follow if owned[replica] else steps.replicate if above[replica] else steps.attach
            kind.append(step)
    _even_out(steps, owned, wanted)
    return steps


def _finish_broken_moves(view, steps, owned):
    """A move of slots that was interrupted: go on where keys may be on both sides, else undo."""
    incoming = {
        (instance, slot)
        for instance, reading in view.readings.items()
        for slot, (way, _other) in reading.row.moving.items()
        if way == "in"
    }
    for source, reading in view.readings.items():
        for slot, (way, other) in reading.row.moving.items():
            target = view.instance_of(other)
            if way == "out" and (target, slot) in incoming:
                incoming.remove((target, slot))
                steps.move.append((source, target, [slot]))
                owned[source].discard(slot)
                owned[target].add(slot)
            elif way == "out":
                steps.settle.append((source, slot))
    steps.settle += sorted(incoming)


def _assign_slots(steps, owned, wanted):
    """Slots that nobody serves, in ranges, to the masters that have too few."""
    free = sorted(set(range(SLOTS)).difference(*owned.values()))
    for master, share in zip(wanted.masters, shares(len(wanted.masters)), strict=True):
        wants = max(0, share - len(owned[master]))
        if free and wants:
            steps.add_slots[master], free = free[:wants], free[wants:]
            owned[master].update(steps.add_slots[master])


def _return_masters(steps, owned, above, wanted):
    """After a failover the slots of a host are served by the replica of another: give them back."""
    for master in wanted.masters:
        acting = above[master]
        if acting is None and not owned[master]:
            acting = next(
                (replica for replica, of in wanted.master_of.items() if of == master and owned[replica]), None
            )
            if acting is not None:
                steps.attach.append((master, acting))
        if acting is not None:
            steps.promote.append(master)
            owned[master], owned[acting] = owned[acting], set()
            for instance, replicated in above.items():
                if replicated == acting:
                    above[instance] = master
            above[master], above[acting] = None, master


def _even_out(steps, owned, wanted):
    """As few slots as possible, from where there are too many to where there are too few."""
    masters = wanted.masters
    low, larger = divmod(SLOTS, len(masters))
    # The masters that hold most keep the odd slot.
    ranked = sorted(masters, key=lambda master: -len(owned[master]))
    targets = {master: low + (rank < larger) for rank, master in enumerate(ranked)}
    surplus = [
        (instance, slot)
        for instance, slots in sorted(owned.items())
        for slot in sorted(slots)[targets.get(instance, 0) :]
    ]
    for master in masters:
        wants = targets[master] - len(owned[master])
        if wants > 0:
            taken, surplus = surplus[:wants], surplus[wants:]
            for source in dict.fromkeys(source for source, _slot in taken):
                steps.move.append((source, master, [slot for origin, slot in taken if origin == source]))

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Carries a plan out, step by step, and waits after each until the cluster has taken it in."""

from __future__ import annotations

import time

from ansible_collections.c100k.harness.plugins.module_utils import cluster_view

POLL_S = 0.1
KEYS_AT_ONCE = 100
MIGRATE_TIMEOUT_MS = 5000
# A node gives up on a manual failover after five seconds (CLUSTER_MF_TIMEOUT), and may be asked again.
FAILOVER_RETRY_S = 6


class NotReachedError(Exception):
    """The cluster did not get where it should within the time; the sentences say what is missing."""

    def __init__(self, what, sentences):
        super().__init__(" ".join([what, *sentences]))


class Cluster:
    """The instances of a cluster, with a deadline for all that is waited for."""

    def __init__(self, reader, instances, timeout_s):
        self._reader, self._instances, self._timeout_s = reader, instances, timeout_s
        self.deadline = time.monotonic() + timeout_s

    def read(self):
        return self._reader.read(self._instances)

    def wait(self, what, missing):
        """Read until `missing(view)` has no sentence left, and return that view."""
        while True:
            view = self.read()
            sentences = missing(view)
            if not sentences:
                return view
            if time.monotonic() > self.deadline:
                raise NotReachedError(f"{what} was not reached within {self._timeout_s:g} s.", sentences)
            time.sleep(POLL_S)

    def settled(self, view):
        """Why it is too early to plan: somebody is away, or the members still tell each other."""
        return cluster_view.unreachable_sentences(view) or cluster_view.disagreements(_without_lost(view.members()))

    def call(self, instance, *words):
        with self._reader.connect(instance) as connection:
            return connection.call(*words)

    def carry_out(self, plan):
        """All steps of a plan."""
        self._forget(plan.forget)
        if plan.meet:
            self._meet(plan.meet)
        for instance, slot in plan.settle:
            self.call(instance, "CLUSTER", "SETSLOT", slot, "STABLE")
        for instance, slots in plan.add_slots.items():
            self.call(instance, "CLUSTER", "ADDSLOTSRANGE", *_ranges(slots))
        if plan.add_slots:
            self.wait("An owner for every slot", self._agreed)
        self._replicate(plan.attach)
        for instance in plan.promote:
            self._promote(instance)
        self._replicate(plan.replicate)
        for source, target, slots in plan.move:
            self._move(source, target, slots)
        self._replicate(plan.follow)

    def _agreed(self, view):
        return cluster_view.unreachable_sentences(view) or cluster_view.disagreements(view.readings)

    def _meet(self, newcomers):
        view = self.read()
        members = view.members()
        if not members:
            # Distinct from the start: otherwise the nodes have to settle the collisions among themselves.
            for number, instance in enumerate(newcomers, 1):
                self.call(instance, "CLUSTER", "SET-CONFIG-EPOCH", number)
        seed = next(iter(members), newcomers[0])
        for instance in newcomers:
            if instance != seed:
                self.call(instance, "CLUSTER", "MEET", seed.address, seed.port, seed.bus_port)
        count = len(self._instances)

        def missing(view):
            return self._agreed(view) or [
                f"{instance} knows {len(reading.rows)} of {count} nodes."
                for instance, reading in view.readings.items()
                if len(reading.rows) != count
            ]

        self.wait("That all nodes know each other", missing)

    def _forget(self, node_ids):
        """Within the minute for which a node does not learn of it again, all must have forgotten it."""
        for node_id in node_ids:
            for instance, reading in self.read().members().items():
                if node_id in reading.rows:
                    self.call(instance, "CLUSTER", "FORGET", node_id)

    def _replicate(self, pairs):
        if not pairs:
            return
        view = self.read()
        for replica, master in pairs:
            self.call(replica, "CLUSTER", "REPLICATE", view.readings[master].id)

        def missing(view):
            return self._agreed(view) or [
                f"{replica} has not caught up with {master}."
                for replica, master in pairs
                if not _in_sync(view, replica, master)
            ]

        self.wait("That every replica is in sync", missing)

    def _promote(self, instance):
        """Let a replica that is in sync take over: its master waits until it has everything."""
        asked = None

        def missing(view):
            nonlocal asked
            reading = view.readings.get(instance)
            if reading is None or not reading.row.is_master:
                now = time.monotonic()
                master = None if reading is None else view.instance_of(reading.row.master_id)
                due = asked is None or now - asked > FAILOVER_RETRY_S
                if due and master is not None and _in_sync(view, instance, master):
                    self.call(instance, "CLUSTER", "FAILOVER")
                    asked = now
                return [f"{instance} is still a replica."]
            return self._agreed(view)

        self.wait(f"That {instance} is a master", missing)

    def _move(self, source, target, slots):
        """As `redis-cli --cluster reshard` does: clients are redirected meanwhile, and no key is ever away."""
        view = self.read()
        source_id, target_id = view.readings[source].id, view.readings[target].id
        with self._reader.connect(source) as giving, self._reader.connect(target) as taking:
            for slot in slots:
                # A move that was interrupted has said this already.
                if slot not in view.readings[target].row.moving:
                    taking.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
                if slot not in view.readings[source].row.moving:
                    giving.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
                while keys := giving.call("CLUSTER", "GETKEYSINSLOT", slot, KEYS_AT_ONCE):
                    giving.call(
                        *("MIGRATE", target.address, target.port, "", 0, MIGRATE_TIMEOUT_MS),
                        *(*self._reader.credentials, "KEYS", *keys),
                    )
                # The new owner first: whatever happens next, the slot has one.
                taking.call("CLUSTER", "SETSLOT", slot, "NODE", target_id)
                giving.call("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        self.wait(f"That all nodes know the slots that moved to {target}", self._agreed)


def _without_lost(members):
    """The members, less what they say about nodes that were installed anew and are to be forgotten."""
    return {
        instance: reading.without({row.id for row in reading.rows.values() if "noaddr" in row.flags})
        for instance, reading in members.items()
    }


def _in_sync(view, replica, master):
    reading = view.readings[replica]
    return (
        view.instance_of(reading.row.master_id) == master
        and reading.info.get("master_link_status") == "up"
        and reading.offset >= view.readings[master].offset
    )


def _ranges(slots):
    """Sorted slots as first and last of each run."""
    bounds = []
    for slot in slots:
        if bounds and bounds[-1] == slot - 1:
            bounds[-1] = slot
        else:
            bounds += [slot, slot]
    return bounds

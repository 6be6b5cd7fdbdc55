# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What every instance of a Redis Cluster says about the cluster, and what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ansible_collections.c100k.harness.plugins.module_utils.resp import Connection, RespError

SLOTS = 16384
# Epochs, slots and masters are the cluster's truth; what a node is pinged and when is its own affair.
BROKEN_FLAGS = ("fail", "fail?", "noaddr", "handshake")
SETTINGS = (
    "appendonly",
    "appendfsync",
    "cluster-node-timeout",
    "cluster-replica-validity-factor",
    "cluster-require-full-coverage",
    "maxmemory",
    "maxmemory-policy",
    "save",
)


@dataclass(frozen=True, order=True)
class Instance:
    """One redis-server that the inventory declares."""

    host: str
    address: str
    port: int
    bus_port: int

    def __str__(self):
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Row:
    """One node as another (or itself) describes it: a line of `CLUSTER NODES`."""

    id: str
    address: str
    port: int
    flags: tuple
    master_id: str | None
    epoch: int
    slots: frozenset
    moving: dict = field(compare=False)

    @property
    def is_master(self):
        return "master" in self.flags


@dataclass(frozen=True)
class Reading:
    """What one instance answered."""

    id: str
    rows: dict
    cluster: dict
    info: dict
    settings: dict
    keys: int
    offset: int

    @property
    def row(self):
        return self.rows[self.id]

    @property
    def is_new(self):
        """Knows nobody and serves nothing."""
        return len(self.rows) == 1 and not self.row.slots

    def without(self, node_ids):
        """The same, less some nodes."""
        return replace(self, rows={row.id: row for row in self.rows.values() if row.id not in node_ids})

    def owners(self):
        """The cluster's truth as this instance sees it: who there is, whose replica, with which slots and epoch."""
        return {
            row.id: (row.is_master, row.master_id, row.epoch if row.is_master else None, row.slots)
            for row in self.rows.values()
        }


@dataclass(frozen=True)
class View:
    """All readings, with a reason for each instance that gave none."""

    readings: dict
    unreachable: dict

    def instance_of(self, node_id):
        return next((instance for instance, reading in self.readings.items() if reading.id == node_id), None)

    def members(self):
        """Those that are in a cluster."""
        return {instance: reading for instance, reading in self.readings.items() if not reading.is_new}

    def replicas_of(self, instance):
        return [
            other for other, reading in self.readings.items() if reading.row.master_id == self.readings[instance].id
        ]


def read_slots(words):
    """Slots that are owned, and slots that are on their way: `[5->-ID]` out, `[5-<-ID]` in."""
    owned, moving = set(), {}
    for word in words:
        if word.startswith("["):
            out = "->-" in word
            slot, _arrow, other = word[1:-1].partition("->-" if out else "-<-")
            moving[int(slot)] = ("out" if out else "in", other)
        else:
            first, _dash, last = word.partition("-")
            owned.update(range(int(first), int(last or first) + 1))
    return frozenset(owned), moving


def read_rows(text):
    """The answer to `CLUSTER NODES` by node id."""
    rows = {}
    for line in text.splitlines():
        node_id, place, flags, master_id, _ping, _pong, epoch, _link, *slots = line.split()
        address, _colon, port = place.partition("@")[0].rpartition(":")
        owned, moving = read_slots(slots)
        flags = tuple(flags.split(","))
        rows[node_id] = Row(
            node_id, address, int(port), flags, None if master_id == "-" else master_id, int(epoch), owned, moving
        )
    return rows


def read_pairs(text):
    """The answer to `INFO` or `CLUSTER INFO`."""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class Reader:
    """Connects to instances with one account."""

    def __init__(self, username, password):
        self._username, self._password = username, password

    @property
    def credentials(self):
        """For `MIGRATE`, which connects from one server to another."""
        return ("AUTH2", self._username, self._password) if self._password else ()

    def connect(self, instance):
        return Connection(instance.address, instance.port, self._username, self._password)

    def read(self, instances):
        """What all instances say."""
        readings, unreachable = {}, {}
        for instance in instances:
            try:
                readings[instance] = self._read_one(instance)
            except (OSError, RespError) as error:
                unreachable[instance] = str(error) or type(error).__name__
        # A replica's offset is read after its master's, so that what is written meanwhile does not count as missing.
        for instance, reading in list(readings.items()):
            if not reading.row.is_master:
                try:
                    readings[instance] = self._read_one(instance)
                except (OSError, RespError) as error:
                    del readings[instance]
                    unreachable[instance] = str(error) or type(error).__name__
        return View(readings, unreachable)

    def _read_one(self, instance):
        with self.connect(instance) as connection:
            node_id, rows, cluster, info, keys, *settings = connection.pipeline(
                [
                    ("CLUSTER", "MYID"),
                    ("CLUSTER", "NODES"),
                    ("CLUSTER", "INFO"),
                    ("INFO",),
                    ("DBSIZE",),
                    *(("CONFIG", "GET", name) for name in SETTINGS),
                ]
            )
        info = read_pairs(info)
        offset = int(info["slave_repl_offset" if info["role"] == "slave" else "master_repl_offset"])
        pairs = {name: value for pair in settings for name, value in [pair]}
        return Reading(node_id, read_rows(rows), read_pairs(cluster), info, pairs, keys, offset)


def unreachable_sentences(view):
    return [f"{instance} does not answer: {reason.rstrip('.')}." for instance, reason in view.unreachable.items()]


def disagreements(readings):
    """Where the instances do not tell the same story about the cluster."""
    if not readings:
        return []
    first, truth = next((instance, reading.owners()) for instance, reading in readings.items())
    found = [
        f"{instance} sees other nodes, slots or epochs than {first}."
        for instance, reading in readings.items()
        if reading.owners() != truth
    ]
    epochs = {str(instance): reading.cluster["cluster_current_epoch"] for instance, reading in readings.items()}
    if len(set(epochs.values())) > 1:
        found.append(
            "The current epoch differs: " + ", ".join(f"{name} {epoch}" for name, epoch in epochs.items()) + "."
        )
    for instance, reading in readings.items():
        for row in reading.rows.values():
            broken = [flag for flag in BROKEN_FLAGS if flag in row.flags]
            if broken:
                found.append(f"{instance} sees {row.address}:{row.port} ({row.id[:8]}) as {', '.join(broken)}.")
    return found


def problems(view):
    """Why the cluster is not complete, one sentence each; none when it is."""
    found = unreachable_sentences(view)
    outside = [instance for instance, reading in view.readings.items() if reading.is_new]
    found += [f"{instance} is in no cluster." for instance in outside]
    members = view.members()
    found += disagreements(members)
    for instance, reading in members.items():
        if reading.cluster["cluster_state"] != "ok":
            found.append(
                f"{instance} says that the cluster is not ok: its state is {reading.cluster['cluster_state']}."
            )
        found += [f"{instance} has slot {slot} on its way {way}." for slot, (way, _other) in reading.row.moving.items()]
    covered = frozenset().union(*(reading.row.slots for reading in members.values() if reading.row.is_master))
    if members and len(covered) < SLOTS:
        found.append(f"{SLOTS - len(covered)} of {SLOTS} slots are served by nobody.")
    for instance, reading in members.items():
        found += _replication_problems(view, instance, reading)
    return found


def _replication_problems(view, instance, reading):
    if reading.row.is_master:
        if reading.row.slots and not view.replicas_of(instance):
            return [f"{instance} has no replica, so its slots are on one host only."]
        return []
    master = view.instance_of(reading.row.master_id)
    if master is None:
        return [f"{instance} replicates a node that is not in the inventory or does not answer."]
    found = []
    if reading.info.get("master_link_status") != "up":
        found.append(f"{instance} is not connected to its master {master}.")
    elif reading.offset < view.readings[master].offset:
        found.append(f"{instance} is {view.readings[master].offset - reading.offset} bytes behind its master {master}.")
    if master.host == instance.host:
        found.append(
            f"{instance} replicates {master} on the same host, so that host alone has those slots; "
            "run playbooks/swarm-init.yml, which moves the replica."
        )
    return found


def facts(view):
    """For people and for `run.json`."""
    nodes = []
    for instance, reading in view.readings.items():
        row, master = reading.row, view.instance_of(reading.row.master_id)
        nodes.append(
            {
                "host": instance.host,
                "address": instance.address,
                "port": instance.port,
                "role": "master" if row.is_master else "replica",
                "master": None if master is None else str(master),
                "slots": len(row.slots),
                "config_epoch": row.epoch,
                "link_up": None if row.is_master else reading.info.get("master_link_status") == "up",
                "offset": reading.offset,
                "keys": reading.keys,
                "used_memory_bytes": int(reading.info["used_memory"]),
                "rss_bytes": int(reading.info["used_memory_rss"]),
            }
        )
    readings = list(view.readings.values())
    return {
        "versions": sorted({reading.info["redis_version"] for reading in readings}),
        "current_epoch": max((int(reading.cluster["cluster_current_epoch"]) for reading in readings), default=None),
        "slots_covered": len(frozenset().union(*(entry.row.slots for entry in readings if entry.row.is_master))),
        "settings": readings[0].settings if readings else {},
        "nodes": nodes,
    }

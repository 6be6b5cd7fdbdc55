"""What goes between the parent and a worker: its part of the plan at the start, then one report a second."""

from __future__ import annotations

import msgspec

from c100k_loadgen.capacity import share
from c100k_loadgen.phases import Phase
from c100k_loadgen.plan import Plan


class Totals(msgspec.Struct):
    """Counts since the start; `connected` is how many are open now.

    `away` is how many sessions wait to be resumed now, `resumed` how often one was. `reopening` is how many
    the plan itself has closed and has come back, and are not overdue.

    `sent` = `answered` + `timeouts` + `errors` + still outstanding, once errors that answer to no send (wrong_id,
    those that were never sent) are taken out. `intended` = `sent` + those that were never sent: not connected, without
    room in the queue, or without a free connection.
    """

    connected: int = 0
    opened: int = 0
    connect_errors: int = 0
    closed: int = 0
    intended: int = 0
    sent: int = 0
    answered: int = 0
    errors: int = 0
    timeouts: int = 0
    away: int = 0
    resumed: int = 0
    reopening: int = 0


class Assignment(msgspec.Struct, frozen=True):
    """Worker `index` of `workers`: it opens `connections`, numbered on this host from `first_connection` on."""

    plan: Plan
    index: int
    workers: int
    first_connection: int
    connections: int
    output: str
    parent_pid: int


class Report(msgspec.Struct, frozen=True):
    """The second [t, t + 1) of one worker, and its counts so far; `response_hdr` is the second's encoded histogram, and
    `said` how often servers said what when they refused something, so far."""

    t: int
    phase: Phase
    totals: Totals
    sent: int
    answered: int
    response_hdr: str
    said: dict[str, int]


def assignments(plan: Plan, workers: int, output: str, parent_pid: int) -> list[Assignment]:
    """The plan in as many parts as there are workers. Together they have each connection number once."""
    parts = []
    first = 0
    for index in range(workers):
        connections = share(plan.connections // plan.connections_each, workers, index) * plan.connections_each
        parts.append(Assignment(plan, index, workers, first, connections, output, parent_pid))
        first += connections
    return parts

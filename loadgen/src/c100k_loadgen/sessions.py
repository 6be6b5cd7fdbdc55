"""All sessions of one worker that outlive their connections, and the probes that say when they must."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from c100k_loadgen.assignment import Assignment
from c100k_loadgen.connection import Connection, State
from c100k_loadgen.departures import Departures
from c100k_loadgen.fail_over import FailOver
from c100k_loadgen.opener import Opener, destination
from c100k_loadgen.output import WorkerFiles
from c100k_loadgen.phases import Phase
from c100k_loadgen.plan import Target
from c100k_loadgen.probes import Probe
from c100k_loadgen.rebalancing import Rebalancing
from c100k_loadgen.resumable import ResumableConnection, ResumableSession, Resumption, resumable
from c100k_loadgen.session_sender import SessionSender
from c100k_loadgen.tally import Tally
from c100k_loadgen.verification import ReadBack, Verification

#: How a connection ends when its server hears of the next one sooner than this worker.
_OF_A_MOVE = ("moved", "eof")


class Sessions:
    """Owns the connections of its sessions. `on_resumption` gets what became of each that lost one.

    Probes begin with the ramp at `start` (`time.monotonic` seconds). Their connections come on top of those of the
    sessions.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tally: Tally,
        opener: Opener,
        sender: SessionSender,
        assignment: Assignment,
        start: float,
        on_resumption: Callable[[Resumption], None],
        *,
        bounds: tuple[int, int],
    ) -> None:
        plan = assignment.plan
        self.write_bound_bytes, self.message_bound_bytes = bounds
        self.message_received: Callable[[Connection, bytes, float], None] = sender.received
        self.said: Callable[[str], None] = tally.words.add
        self._loop = loop
        self._tally = tally
        self._opener = opener
        self._sender = sender
        self._assignment = assignment
        self._on_resumption = on_resumption
        self._sessions: dict[int, ResumableSession] = {}
        self._held: Counter[str] = Counter()  # sessions by target, with those on their way to it
        self._verification: ReadBack | None = None
        # All sessions of one target are to be on their way within the spread.
        pace_per_s = assignment.connections / len(plan.targets) / plan.resume_spread_s
        self._fail_over = FailOver(loop, plan.targets, self._is_up, self._held, self._resume, pace_per_s)
        self._departures = Departures(loop, plan.targets, self._is_up, self._held, self._leave)
        sender.on_availability = self._departures.told
        self._moving: set[ResumableSession] = set()
        self._rebalancing: Rebalancing | None = None
        if plan.rebalance_per_s:
            self._rebalancing = Rebalancing(
                loop,
                plan.targets,
                self._is_up,
                self._held,
                sender.live,
                self._moving,
                lambda: bool(self._fail_over.away),
                self._move,
                plan.rebalance_per_s / assignment.workers,
                start + plan.ramp_s,
            )
        # The probes of the workers are spread over the time between two pings.
        first_look = start + plan.probe.every_s * assignment.index / assignment.workers
        self._probes = {
            target.name: Probe(
                loop,
                tally,
                opener,
                destination(assignment, assignment.first_connection, target),
                plan.connections + position,
                plan.protocol,
                plan.probe,
                self._target_dead,
                sender.heard_from,
                first_look,
                bounds=bounds,
            )
            for position, target in enumerate(plan.targets)
        }

    @property
    def away(self) -> int:
        """How many sessions have no connection now, of those that had one."""
        return len(self._fail_over.away)

    def connect(self, number: int, target: str, attempts: int) -> Connection:
        """A connection for the session `number`."""
        self._held[target] += 1
        return self._connection(number, target, attempts)

    def _connection(self, number: int, target: str, attempts: int) -> Connection:
        session = self._sessions.get(number)
        if session is None:
            session = self._sessions[number] = ResumableSession(number)
        return ResumableConnection(self, session, target, attempts, self._assignment.plan.protocol)

    async def verify(self, files: WorkerFiles, stop_at: float) -> None:
        """Have each session read its counter, those that are away when they are back. Nothing was sent from `stop_at`
        on."""
        sender = self._sender
        await self._read_back(
            Verification(self._loop, self._opened(), sender.next_id, sender.heard_from, files.counter)
        )

    async def _read_back(self, verification: ReadBack) -> None:
        self._rebalance_no_more()
        self._verification = verification
        self.message_received = verification.received
        await verification.run(self._assignment.plan.verify_s)

    def _opened(self) -> list[ResumableSession]:
        return [session for session in self._sessions.values() if session.connection is not None]

    def verify_no_more(self) -> None:
        """Leave the counters that are not read yet."""
        if self._verification is not None:
            self._verification.end()

    def stop(self) -> None:
        """Bring no session back any more."""
        self._rebalance_no_more()
        self._departures.stop()
        self._fail_over.stop()
        for probe in self._probes.values():
            probe.stop()
        for session in self._fail_over.away:
            assert session.connection is not None
            self._on_resumption(session.resumption(session.connection.target, "", None))
        self._sender.drop_away()

    def _is_up(self, target: str) -> bool:
        return self._probes[target].up

    def _resume(self, session: ResumableSession, target: Target) -> None:
        connection = self.connect(session.number, target.name, session.attempts)
        self._opener.begin(connection, destination(self._assignment, session.number, target))

    def _move(self, session: ResumableSession, target: Target) -> None:
        """Have a session that is live go on elsewhere."""
        session.lose("rebalance", time.monotonic())
        self._moving.add(session)
        connection = self.connect(session.number, target.name, 0)
        self._opener.begin(connection, destination(self._assignment, session.number, target))

    def _rebalance_no_more(self) -> None:
        """Moves that are under way go on: a server may have taken the session, and not have said so yet."""
        if self._rebalancing is not None:
            self._rebalancing.stop()

    def _target_dead(self, target: str) -> None:
        for connection in list(self._sender.live):
            if connection.target == target and connection.state is State.LIVE:
                connection.reset("target_dead")
        self._opener.give_up_target(target, "target_dead")

    def _leave(self, target: str) -> None:
        for connection in list(self._sender.live):
            if connection.target == target and connection.state is State.LIVE:
                connection.fail("unavailable")

    # What connections ask and tell their owner.

    @property
    def phase(self) -> Phase:
        return self._tally.opening_phase

    def opened(self, connection: Connection) -> None:
        session = resumable(connection).session
        self._opener.opened(connection)
        last = session.connection
        has_moved = session in self._moving
        if has_moved:
            if last is not None and last.state is State.LIVE:
                last.close("rebalance")
            self._moving.remove(session)
        elif last is not None:
            self._fail_over.resumed(session)
        self._tally.opened()
        self._sender.heard_from[connection.target] += 1
        self._departures.told(connection.target, is_available=True)
        if self._rebalancing is not None:
            self._rebalancing.taken(connection.target)
        if last is None:
            self._sender.add(connection)
        else:
            if not session.known or not has_moved or session.cause not in ("rebalance", *_OF_A_MOVE):
                self._tally.totals.resumed += session.known
                self._on_resumption(session.resumption(last.target, connection.target, time.monotonic()))
            self._sender.resumed(connection)
            if self._verification is not None:
                self._verification.resumed(session)
        session.known = True

    def opening_failed(self, connection: Connection, cause: str) -> None:
        self._tally.connect_error(connection.phase, connection.target, cause)
        self._held[connection.target] -= 1
        session, retry_after_s = resumable(connection).session, resumable(connection).retry_after_s
        if cause == "state_unavailable" and self._rebalancing is not None:
            self._rebalancing.refused(connection.target, retry_after_s)
        if session.connection is None:
            self._opener.failed(connection)
            return
        self._opener.done(connection)
        if session in self._moving:
            self._moving.remove(session)
            if not session.live:
                self._sender.lost(session.connection)
                self._fail_over.lost(session)
            return
        self._fail_over.failed(session, retry_after_s)

    def ended(self, connection: Connection, cause: str) -> None:
        session = resumable(connection).session
        has_moved = cause == "rebalance" or (cause in _OF_A_MOVE and session in self._moving)
        self._tally.closed(connection.target, "rebalance" if has_moved else cause)
        self._held[connection.target] -= 1
        if cause == "stop":
            self._sender.remove(connection)
            return
        if cause != "rebalance":
            session.lose(cause, time.monotonic())
        if has_moved:
            self._sender.left(connection)
        else:
            self._sender.lost(connection)
        # What is on its way elsewhere needs no other attempt.
        if session not in self._moving:
            self._fail_over.lost(session)
        if self._verification is not None:
            self._verification.lost(session)

    def refused(self, connection: Connection, request_id: int, cause: str) -> None:
        """There are no answers of HTTP here."""

    def heard(self, connection: Connection, now: float) -> None:
        """They do not listen."""

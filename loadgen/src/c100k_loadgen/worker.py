"""One worker process: `python -m c100k_loadgen.worker`, started by the parent with its assignment on stdin.

It opens its connections, sends its messages, writes its files, reports on stdout once a second, and exits 0 when the
run is over or it was told to stop (SIGTERM).
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import math
import os
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from c100k_loadgen import kinds
from c100k_loadgen.arrivals import arrivals
from c100k_loadgen.assignment import Assignment, Report, Totals
from c100k_loadgen.calls import Calls, calls_of
from c100k_loadgen.children import Children
from c100k_loadgen.connection import MESSAGE_BOUND_BYTES, WRITE_BOUND_BYTES, Connection
from c100k_loadgen.credentials import bearer, tls_context
from c100k_loadgen.fan_out import Audience, Conductor, Publisher
from c100k_loadgen.farewell import close_all, end_sessions
from c100k_loadgen.heartbeats import Heartbeats
from c100k_loadgen.http_session import HttpSession
from c100k_loadgen.named_sessions import NamedSessions
from c100k_loadgen.opener import Opener
from c100k_loadgen.output import OwnCost, WorkerFiles
from c100k_loadgen.phases import Phase
from c100k_loadgen.plan import Plan
from c100k_loadgen.planned_closes import PlannedCloses
from c100k_loadgen.recorder import Interval, combined
from c100k_loadgen.registry_sender import RegistrySender
from c100k_loadgen.roster import Roster
from c100k_loadgen.schedule import AnySchedule, Schedule
from c100k_loadgen.sender import Recorders, Sender, StageRecorders
from c100k_loadgen.session_sender import SessionSender
from c100k_loadgen.sessions import Sessions
from c100k_loadgen.tally import Tally
from c100k_loadgen.thinking_sender import ThinkingSender

#: From linux/prctl.h.
_PR_SET_PDEATHSIG = 1

#: How often time-outs and the loop's lag are looked at. Divides a second, so that one of them falls on each boundary.
_PULSE_S = 0.05

#: Reports that the parent does not read are dropped from here on.
_REPORT_BACKLOG_BYTES = 1 << 20

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Worker:
    """Owns the connections of its assignment. Times within are `time.monotonic` seconds; `_epoch` makes them Unix time.

    The difference of the two clocks is taken once, so that a step of the wall clock moves no row and no latency.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, assignment: Assignment, reports: asyncio.WriteTransport
    ) -> None:
        plan = assignment.plan
        self.write_bound_bytes = max(WRITE_BOUND_BYTES, 64 * plan.payload_bytes)
        self.message_bound_bytes = MESSAGE_BOUND_BYTES + 2 * plan.payload_bytes
        self.failed = False
        self._epoch = time.time() - time.monotonic()
        self._times = plan.timetable
        self._verifies = plan.verifies
        self._tally = Tally()
        self.said: Callable[[str], None] = self._tally.words.add
        self._said: Counter[str] = Counter()
        self._before = Totals()
        self._files = WorkerFiles(Path(assignment.output), plan.host, assignment.index, self._epoch)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._reports = reports
        self._loop = loop
        self._lag_max_s = 0.0
        self._second = math.floor(self._now())
        self._end = asyncio.Event()
        self._drained = asyncio.Event()
        self._told_to_stop = False
        self._verifying = False
        self._token = token = bearer(plan.token)
        self._streamed = kinds.StreamedSessions(plan, self, token) if plan.connection == "session_stream" else None
        self._children = Children(loop)
        self._connectors: dict[int, kinds.Connect] = {}  # of the publishers, by the number of their connection
        self._connect: kinds.Connect
        if self._streamed is not None:
            self._connect = self._streamed.connect
        elif plan.transport == "stdio":
            self._connect = kinds.processes(plan, self, self._children)
        elif plan.connection == "listen":
            self._connect = kinds.listeners(plan, self, token)
        else:
            self._connect = kinds.callers(plan, self, None, token, subscribed=True)
        self._opener = Opener(loop, self._make, assignment, self._times.ramp_at - self._epoch, tls_context(plan))
        self._reconnect = plan.reconnect
        self._sessions: Sessions | None = None
        self._sender: Sender
        if plan.resume:
            sender = self._session_sender(assignment)
            self._sessions = (Sessions if plan.registry is None else NamedSessions)(
                loop,
                self._tally,
                self._opener,
                sender,
                assignment,
                self._times.ramp_at - self._epoch,
                self._files.resumption,
                bounds=(self.write_bound_bytes, self.message_bound_bytes),
            )
            self._connect = self._sessions.connect
            self._sender = sender
        else:
            self._sender = self._plain_sender(assignment)
        self._sender.boundary = self._second + 1 - self._epoch
        self._roster: Roster | None = None
        self._heartbeats: Heartbeats | None = None
        self._planned_closes: PlannedCloses | None = None
        if plan.heartbeat_s or plan.churn_per_s or plan.storm is not None:
            self._roster = Roster(assignment)
        if self._roster is not None and plan.heartbeat_s:
            self._heartbeats = self._sender.heartbeats = self._heart(assignment, self._roster)
        if self._roster is not None and (plan.churn_per_s or plan.storm is not None):
            self._planned_closes = PlannedCloses(
                assignment,
                self._epoch,
                self._roster,
                self._opener,
                leave=self._leave,
                owing=self._owing,
                drop=self._drop,
                on_reopening=self._files.reopening,
            )
        moments = [t - self._epoch for t in plan.publish_moments]
        self._audience = Audience(self._tally, moments, self._files.heard)
        # Publishers are shared out over the workers; their connections are numbered after all others.
        own = range(assignment.index, len(plan.publish_to), assignment.workers)
        self._publishers = [self._publisher(plan, plan.connections + position) for position in own]
        self._conductor = Conductor(loop, moments, self._audience, self._publishers)
        # No method of this class between them: these are called for each answer.
        self.message_received = self._sender.received
        self.refused = self._sender.refused
        self.heard = self._audience.heard
        self._arm_pulse()

    def _sending(
        self, assignment: Assignment
    ) -> tuple[asyncio.AbstractEventLoop, Tally, AnySchedule, float, Calls, float]:
        """What every sender of this assignment is made with."""
        plan = assignment.plan
        schedule, hold_at = arrivals(assignment, self._epoch), self._times.hold_at - self._epoch
        return self._loop, self._tally, schedule, hold_at, calls_of(plan), plan.timeout_s

    def _plain_sender(self, assignment: Assignment) -> Sender:
        """A sender to connections that go with what they are connected to."""
        plan, sending = assignment.plan, self._sending(assignment)
        begins = zip(plan.stages, plan.stages_begin_at, strict=True)
        stages = [StageRecorders(stage.name, begins_at - self._epoch) for stage, begins_at in begins]
        framed, at_boundary = plan.transport in ("http", "websocket"), self._end_seconds
        if plan.think_s:
            return ThinkingSender(*sending, framed=framed, at_boundary=at_boundary, stages=stages, think_s=plan.think_s)
        return Sender(*sending, framed=framed, at_boundary=at_boundary, stages=stages)

    def _heart(self, assignment: Assignment, roster: Roster) -> Heartbeats:
        settle_at, hold_at, stop_at = (
            t - self._epoch for t in (self._times.settle_at, self._times.hold_at, self._times.stop_at)
        )
        plan = assignment.plan
        per_s, offset = len(roster) / plan.heartbeat_s, assignment.index / assignment.workers
        schedule = Schedule(settle_at, stop_at, per_s, offset)
        return Heartbeats(self._loop, self._tally, roster, schedule, hold_at, plan.timeout_s)

    def _session_sender(self, assignment: Assignment) -> SessionSender:
        plan, sending = assignment.plan, self._sending(assignment)
        if plan.registry is None:
            on_operation = self._files.operation
            return SessionSender(
                *sending, increments=plan.increments, on_operation=on_operation, at_boundary=self._end_seconds
            )
        on_mistake = self._files.mistake
        return RegistrySender(*sending, registry=plan.registry, on_mistake=on_mistake, at_boundary=self._end_seconds)

    def _now(self) -> float:
        return time.monotonic() + self._epoch

    # What connections ask and tell their owner.

    @property
    def phase(self) -> Phase:
        return self._tally.opening_phase

    def opened(self, connection: Connection) -> None:
        if self._planned_closes is not None:
            self._planned_closes.opening(connection)
        if self._roster is not None:
            self._roster.add(connection)
        self._opener.opened(connection)
        (self._sender if connection.calls else self._audience).add(connection)
        self._tally.opened()
        if self._streamed is not None and (number := self._streamed.opened(connection)) is not None:
            self._opener.open(number)
            if self._planned_closes is not None:
                self._planned_closes.reopen_with(number)

    def opening_failed(self, connection: Connection, cause: str) -> None:
        self._tally.connect_error(connection.phase, connection.target, cause)
        if self._streamed is not None:
            self._streamed.gone(connection, cause)
        if self._planned_closes is not None and self._planned_closes.failed(connection, cause):
            self._opener.done(connection)
        else:
            self._opener.failed(connection)

    def ended(self, connection: Connection, cause: str) -> None:
        (self._sender if connection.calls else self._audience).remove(connection)
        self._tally.closed(connection.target, cause)
        if self._streamed is not None:
            self._streamed.gone(connection, cause)
        if self._planned_closes is not None and self._planned_closes.ended(connection, cause):
            return
        if cause != "stop":
            self._opener.again(connection.number, 0)

    # What the plan does to them.

    def _leave(self, connection: Connection) -> None:
        """A connection is to get no more messages."""
        if connection.calls:
            self._sender.remove(connection)

    def _owing(self) -> set[Connection]:
        """The connections that owe an answer."""
        return self._sender.owing() | (self._heartbeats.owing() if self._heartbeats is not None else set())

    def _drop(self, connections: set[Connection], cause: str) -> None:
        """Count what is under way on connections that are about to be broken off."""
        self._sender.drop(connections, cause)
        if self._heartbeats is not None:
            self._heartbeats.drop(connections, cause)

    # Making them.

    def _make(self, number: int, target: str, attempts: int) -> Connection | None:
        return self._connectors.get(number, self._connect)(number, target, attempts)

    def _publisher(self, plan: Plan, number: int) -> Publisher:
        assert plan.fan_out is not None
        publisher = Publisher(
            self._tally,
            self._opener,
            plan.publish_to[number - plan.connections],
            plan.fan_out.tool,
            self._files.published,
            stateless=plan.stateless,
            bounds=(self.write_bound_bytes, self.message_bound_bytes),
        )
        self._connectors[number] = kinds.callers(plan, publisher, plan.fan_out.tool, self._token, subscribed=False)
        self._opener.open_at(number, self._times.ramp_at - self._epoch)
        return publisher

    # The clock.

    def _arm_pulse(self) -> None:
        now = self._now()
        self._pulse_at = (math.floor(now / _PULSE_S) + 1) * _PULSE_S
        self._next_pulse = self._loop.call_later(math.ceil((self._pulse_at - now) * 1000) / 1000, self._pulse)

    def _pulse(self) -> None:
        now = time.monotonic()
        self._lag_max_s = max(self._lag_max_s, now + self._epoch - self._pulse_at)
        if now >= self._sender.boundary:
            self._end_seconds(now)
        self._opener.expire(now)
        self._sender.expire(now)
        if self._heartbeats is not None:
            self._heartbeats.expire(now)
        if self._planned_closes is not None and not self._end.is_set():
            self._planned_closes.advance(now)
        idle = self._sender.idle and (self._heartbeats is None or self._heartbeats.idle)
        if self._end.is_set() and (self._told_to_stop or idle):
            self._drained.set()
        self._arm_pulse()

    def _end_seconds(self, now: float) -> None:
        """Write the rows of the seconds that are over: one, or more after a pause of this process.

        Messages that fell due in a pause go out now, and count as sent in the last of these seconds.
        """
        current = math.floor(now + self._epoch)
        for t in range(self._second, current):
            if t == current - 1:
                self._sender.send_due(t + 1 - self._epoch)
                self._sender.drop_lost()
            self._write_second(t, whole=True)
        self._second = current
        self._sender.boundary = current + 1 - self._epoch
        self._enter(self._phase_at(current))
        # Garbage collection is off, for its pauses; what closed connections leave behind is young and soon found here.
        gc.collect(0)

    def _phase_at(self, t: float) -> Phase:
        if self._verifying:
            return "verify"
        return "stop" if self._told_to_stop else self._times.phase_at(t)

    def _enter(self, phase: Phase) -> None:
        before, self._tally.phase = self._tally.phase, phase
        if phase == before:
            return
        if before in ("wait", "ramp") and phase == "settle":
            # What the connections consist of stays until the end: no collection needs to look at it again.
            gc.collect()
            gc.freeze()
        if phase == "hold" and not self._reconnect:
            for target in self._opener.end_retries():
                self._tally.connect_error(phase, target, "not_attempted")
        if phase == "stop":
            self._end.set()

    # What is left for others to read.

    def _write_second(self, t: int, *, whole: bool) -> None:
        phase = self._phase_at(t)
        totals = self._tally.totals
        totals.away = self._sessions.away if self._sessions is not None else 0
        totals.reopening = self._planned_closes.excused(t + 1 - self._epoch) if self._planned_closes is not None else 0
        totals.intended = self._sender.intended_before(t + 1 - self._epoch)
        now = msgspec.structs.replace(totals)
        own = OwnCost(self._lag_max_s, time.process_time(), self._rss_bytes())
        self._files.second(t, phase, now, self._before, own)
        self._files.causes(t, self._tally.take_causes())
        said = self._tally.words.take()
        self._said.update(said)
        self._files.said(t, said)
        settle = self._intervals("settle", [self._sender.settle], t, always=phase == "settle")
        stages = self._sender.stages
        hold = self._intervals("hold", stages or [self._sender.hold], t, always=phase == "hold")
        for stage in stages:
            self._files.stage_causes(t, stage.name, stage.take_causes())
        if self._heartbeats is not None:
            self._files.pings(t, *self._heartbeats.take_counts())
            self._files.interval_of_samples("settle", "ping", t, self._heartbeats.settle)
            self._files.interval_of_samples("hold", "ping", t, self._heartbeats.hold)
        if self._planned_closes is not None:
            for why, recorder in self._planned_closes.connects.items():
                self._files.interval_of_samples("hold", f"{why}_connect", t, recorder)
        for record in self._sender.by_call:
            self._files.call(t, record.name, *record.take())
        for kind, tag, recorder in self._sender.others:
            if (interval := recorder.take()).samples:
                self._files.interval(kind, tag, t, interval)
        if (fan_out := self._audience.recorder.take()).samples:
            self._files.interval("hold", "fan_out", t, fan_out)
        self._files.flush()
        response = hold if hold.samples or not settle.samples else settle
        if whole and self._reports.get_write_buffer_size() < _REPORT_BACKLOG_BYTES and not self._reports.is_closing():
            sent, answered = now.sent - self._before.sent, now.answered - self._before.answered
            report = Report(t, phase, now, sent, answered, response.encoded, dict(self._said))
            self._reports.write(msgspec.json.encode(report) + b"\n")
        self._before = now
        self._lag_max_s = 0.0

    def _intervals(self, phase: Phase, parts: Sequence[Recorders], t: int, *, always: bool) -> Interval:
        """Log what the second from `t` measured of messages intended in `phase`, as a whole and of each stage; returns
        their response times."""
        for recorders in parts:
            self._files.interval_of_samples(phase, "recovery", t, recorders.recovery)
        taken: dict[str, list[Interval]] = {"response": [], "service": [], "slip": []}
        for recorders in parts:
            for tag, intervals in taken.items():
                intervals.append(interval := getattr(recorders, tag).take())
                if isinstance(recorders, StageRecorders) and interval.samples:
                    self._files.interval(phase, f"{tag}.{recorders.name}", t, interval)
        whole = {tag: combined(intervals) for tag, intervals in taken.items()}
        for tag, interval in whole.items():
            if always or interval.samples:
                self._files.interval(phase, tag, t, interval)
        return whole["response"]

    def _rss_bytes(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    # The end.

    def told_to_stop(self) -> None:
        self._told_to_stop = True
        if self._sessions is not None:
            self._sessions.verify_no_more()
        self._enter("stop")

    def broken(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error in this program itself, where the event loop found it: say what it was, and end the run."""
        error = context.get("exception")
        detail = "".join(traceback.format_exception(error)) if error is not None else context["message"]
        print(json.dumps({"t": time.time(), "event": "internal_error", "detail": detail}), file=sys.stderr, flush=True)
        self.failed = True
        self.told_to_stop()

    async def run(self) -> int:
        """Until the run is over; returns the exit code."""
        await self._end.wait()
        if self._sessions is None:
            self._opener.stop()
        self._sender.stop(min(time.monotonic(), self._times.stop_at - self._epoch))
        if self._heartbeats is not None:
            self._heartbeats.stop()
        await self._drained.wait()
        self._audience.finish()
        for publisher in self._publishers:
            publisher.finish("timeout")
        if self._sessions is not None:
            await self._end_sessions(self._sessions)
        await self._close_connections()
        self._next_pulse.cancel()
        now = time.monotonic()
        self._end_seconds(now)
        self._sender.drop_all()
        self._write_second(math.floor(now + self._epoch), whole=False)
        self._files.close()
        os.close(self._statm)
        return 1 if self.failed else 0

    async def _end_sessions(self, sessions: Sessions) -> None:
        """Sessions come back until what they have done is read back."""
        if self._verifies and not self._told_to_stop:
            self._verifying = True
            self._enter("verify")
            await sessions.verify(self._files, self._times.stop_at - self._epoch)
        self._opener.stop()
        sessions.stop()

    async def _close_connections(self) -> None:
        if self._planned_closes is not None:
            self._planned_closes.finish()
        publishing = [each.connection for each in self._publishers if each.connection is not None]
        await close_all(self._audience.live)
        calling = (*self._sender.live, *publishing)
        await end_sessions([each for each in calling if isinstance(each, HttpSession)], self._tally)
        for connection in publishing:
            connection.close()
        await close_all(self._sender.live)
        # The event loop closes the sockets in its next turns.
        await asyncio.sleep(_PULSE_S)
        await self._children.end()


def _die_with(parent_pid: int) -> None:
    """Have the kernel send SIGTERM when the parent is gone, however it went."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        raise SystemExit("the parent of this worker is gone")


async def _main(assignment: Assignment) -> int:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, sys.stdout)
    gc.disable()
    worker = Worker(loop, assignment, transport)
    loop.add_signal_handler(signal.SIGTERM, worker.told_to_stop)
    loop.set_exception_handler(worker.broken)
    code = await worker.run()
    transport.close()
    return code


def main() -> int:
    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    _die_with(assignment.parent_pid)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_main(assignment))


if __name__ == "__main__":
    raise SystemExit(main())

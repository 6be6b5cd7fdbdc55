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
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from c100k_loadgen import connection as connections
from c100k_loadgen.assignment import Assignment, Report, Totals
from c100k_loadgen.connection import Connection
from c100k_loadgen.opener import Opener
from c100k_loadgen.output import OwnCost, WorkerFiles
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import Interval
from c100k_loadgen.schedule import Schedule
from c100k_loadgen.sender import Recorders, Sender
from c100k_loadgen.session import initialize_request
from c100k_loadgen.tally import Tally

#: From linux/prctl.h.
_PR_SET_PDEATHSIG = 1

#: How often time-outs and the loop's lag are looked at. Divides a second, so that one of them falls on each boundary.
_PULSE_S = 0.05

#: Connections closed in one go at the end, between two looks at everything else.
_CLOSE_BATCH = 200

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
        self.protocol = plan.protocol
        self.initialize = initialize_request(plan.protocol)
        self.write_bound_bytes = max(connections.WRITE_BOUND_BYTES, 64 * plan.payload_bytes)
        self.line_bound_bytes = connections.LINE_BOUND_BYTES + 2 * plan.payload_bytes
        self.failed = False
        self._epoch = time.time() - time.monotonic()
        self._times = plan.timetable
        self._tally = Tally()
        self._before = Totals()
        self._files = WorkerFiles(Path(assignment.output), plan.host, assignment.index)
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)
        self._reports = reports
        self._loop = loop
        self._lag_max_s = 0.0
        self._second = math.floor(self._now())
        self._end = asyncio.Event()
        self._drained = asyncio.Event()
        self._told_to_stop = False
        self._opener = Opener(loop, self, assignment, self._times.ramp_at - self._epoch)
        self._sender = Sender(
            loop,
            self._tally,
            Schedule(
                start=self._times.settle_at - self._epoch,
                end=self._times.stop_at - self._epoch,
                per_s=plan.rate_per_s / assignment.workers,
                offset=assignment.index / assignment.workers,
            ),
            hold_at=self._times.hold_at - self._epoch,
            payload_bytes=plan.payload_bytes,
            timeout_s=plan.timeout_s,
            at_boundary=self._end_seconds,
        )
        self._sender.boundary = self._second + 1 - self._epoch
        self.line_received = self._sender.received  # no method of this class between them: it is called for each answer
        self._arm_pulse()

    def _now(self) -> float:
        return time.monotonic() + self._epoch

    # What connections ask and tell their owner.

    @property
    def phase(self) -> Phase:
        """The phase that an attempt begins in now; the first may be a moment ahead of the ramp's first second."""
        return "ramp" if self._tally.phase == "wait" else self._tally.phase

    def session_opened(self, connection: Connection) -> None:
        self._opener.opened(connection)
        self._sender.add(connection)
        self._tally.opened()

    def opening_failed(self, connection: Connection, cause: str) -> None:
        self._tally.connect_error(connection.phase, connection.target, cause)
        self._opener.failed(connection)

    def connection_ended(self, connection: Connection, cause: str) -> None:
        self._sender.remove(connection)
        self._tally.closed(connection.target, cause)
        if cause != "stop":
            self._opener.again(connection.number, 0)

    # The clock.

    def _arm_pulse(self) -> None:
        now = self._now()
        self._pulse_at = (math.floor(now / _PULSE_S) + 1) * _PULSE_S
        self._loop.call_later(math.ceil((self._pulse_at - now) * 1000) / 1000, self._pulse)

    def _pulse(self) -> None:
        now = time.monotonic()
        self._lag_max_s = max(self._lag_max_s, now + self._epoch - self._pulse_at)
        if now >= self._sender.boundary:
            self._end_seconds(now)
        self._opener.expire(now)
        self._sender.expire(now)
        if self._end.is_set() and (self._told_to_stop or not self._sender.outstanding):
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
        return "stop" if self._told_to_stop else self._times.phase_at(t)

    def _enter(self, phase: Phase) -> None:
        before, self._tally.phase = self._tally.phase, phase
        if phase == before:
            return
        if before in ("wait", "ramp") and phase == "settle":
            # What the connections consist of stays until the end: no collection needs to look at it again.
            gc.collect()
            gc.freeze()
        if phase == "hold":
            for target in self._opener.end_retries():
                self._tally.connect_error(phase, target, "not_attempted")
        if phase == "stop":
            self._end.set()

    # What is left for others to read.

    def _write_second(self, t: int, *, whole: bool) -> None:
        phase = self._phase_at(t)
        totals = self._tally.totals
        totals.intended = self._sender.intended_before(t + 1 - self._epoch)
        now = msgspec.structs.replace(totals)
        own = OwnCost(self._lag_max_s, time.process_time(), self._rss_bytes())
        self._files.second(t, phase, now, self._before, own)
        self._files.causes(t, self._tally.take_causes())
        settle = self._intervals("settle", self._sender.settle, t, always=phase == "settle")
        hold = self._intervals("hold", self._sender.hold, t, always=phase == "hold")
        self._files.flush()
        response = hold if hold.samples or not settle.samples else settle
        if whole and self._reports.get_write_buffer_size() < _REPORT_BACKLOG_BYTES and not self._reports.is_closing():
            sent, answered = now.sent - self._before.sent, now.answered - self._before.answered
            report = Report(t, phase, now, sent, answered, response.encoded)
            self._reports.write(msgspec.json.encode(report) + b"\n")
        self._before = now
        self._lag_max_s = 0.0

    def _intervals(self, phase: Phase, recorders: Recorders, t: int, *, always: bool) -> Interval:
        """Log what the second from `t` measured of messages intended in `phase`; returns their response times."""
        response, service, slip = recorders.response.take(), recorders.service.take(), recorders.slip.take()
        for tag, interval in (("response", response), ("service", service), ("slip", slip)):
            if always or interval.samples:
                self._files.interval(phase, tag, t, interval)
        return response

    def _rss_bytes(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE_BYTES

    # The end.

    def told_to_stop(self) -> None:
        self._told_to_stop = True
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
        self._opener.stop()
        self._sender.stop(min(time.monotonic(), self._times.stop_at - self._epoch))
        await self._drained.wait()
        await self._close_connections()
        now = time.monotonic()
        self._end_seconds(now)
        self._sender.drop_lost()
        self._write_second(math.floor(now + self._epoch), whole=False)
        self._files.close()
        os.close(self._statm)
        return 1 if self.failed else 0

    async def _close_connections(self) -> None:
        live = self._sender.live
        while live:
            for connection in live[-_CLOSE_BATCH:]:
                connection.close()
            await asyncio.sleep(0)
        # The event loop closes the sockets in its next turns.
        await asyncio.sleep(_PULSE_S)


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

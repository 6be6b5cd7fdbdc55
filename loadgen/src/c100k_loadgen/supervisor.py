"""The parent of a run: starts the workers, listens to their reports, serves the status, and sees that it all ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import Counter, defaultdict, deque
from pathlib import Path

import msgspec

from c100k_loadgen import generator_file, kernel, metrics, status
from c100k_loadgen.assignment import Assignment, Report, Totals, assignments
from c100k_loadgen.errors import OutputExistsError
from c100k_loadgen.generator_file import GeneratorRecord, KernelRecord, RunState, StopReason, WorkerRecord
from c100k_loadgen.phases import Phase
from c100k_loadgen.plan import Abort, Plan
from c100k_loadgen.views import View
from c100k_loadgen.words import most_frequent

#: How long after the last time-out of a request the workers may take to close and write what is left, and how long
#: after SIGTERM, before they are killed.
_GRACE_S = 10.0

_TICK_S = 0.2

#: What servers said that the status tells.
_SAID_MOST = 3

#: A report is one line with an encoded histogram, a few KiB; twice the base64 of all its counts is more than any.
_REPORT_BOUND_BYTES = 1 << 20


class _Worker:
    """A worker process as its parent sees it."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        self.record = WorkerRecord(assignment.index, assignment.connections)
        self.totals = Totals()
        self.said: dict[str, int] = {}
        self.phase: Phase = "wait"  # that of its last report
        self.process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.record.exit_code is None

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None and self.alive:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself just now; `_follow` will see that
                self.process.send_signal(number)


def _end_session(leader: int) -> None:
    """End what a worker has started, and did not come to end."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            session = path.read_text().rpartition(")")[2].split()[3]
            if int(session) == leader:
                os.kill(int(path.parent.name), signal.SIGKILL)


class Supervisor:
    """Runs a resolved plan with `workers` processes; files go to `directory`, and `view` shows what happens.

    Status and metrics are served at `status_address`, unless that is None.
    """

    def __init__(
        self,
        plan: Plan,
        workers: int,
        nofile: int,
        directory: Path,
        status_address: tuple[str, int] | None,
        view: View,
    ) -> None:
        self._plan = plan
        self._view = view
        self._times = plan.timetable
        self._directory = directory
        self._status_address = status_address
        self._workers = [_Worker(part) for part in assignments(plan, workers, str(directory), os.getpid())]
        self._record = GeneratorRecord(
            run_id=plan.run_id,
            host=plan.host,
            plan=plan,
            state="wait",
            status_address="",
            started_at=time.time(),
            nofile=nofile,
            workers=[worker.record for worker in self._workers],
            versions=generator_file.versions(),
            kernel=KernelRecord(target_here=kernel.has_target(plan), before=kernel.read_counters()),
        )
        self._reports: defaultdict[int, dict[int, Report]] = defaultdict(dict)  # by second, by worker
        self._history: deque[tuple[int, int, int]] = deque()  # second, messages intended so far, gone wrong so far
        self._response_times = metrics.ResponseTimes()
        self._asked_at = time.monotonic()
        self._stop_reason: StopReason | None = None
        self._kill_at: float | None = None

    async def run(self) -> int:
        """Until every worker has ended; returns the exit code.

        Raises:
            OutputExistsError: the directory holds a run already.
            StatusAddressError: the status cannot be served where it should be.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        if (self._directory / generator_file.FILE_NAME).exists():
            raise OutputExistsError(self._directory)
        server = None
        if self._status_address is not None:
            pages = {
                "/status": status.json_page(self._asked),
                "/metrics": metrics.page(self._status, self._response_times),
            }
            server = await status.serve(*self._status_address, pages)
            host, port = server.sockets[0].getsockname()[:2]
            self._record.status_address = f"{host}:{port}"
        self._write()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, "signal")
        self._view.event(
            "started", run_id=self._plan.run_id, workers=len(self._workers), status=self._record.status_address
        )
        following = asyncio.gather(*(self._follow(worker) for worker in self._workers))
        try:
            while not following.done():
                self._tick()
                self._view.watch(self._status)
                await asyncio.wait([following], timeout=_TICK_S)
            await following
        except BaseException:  # whatever goes wrong here, no worker is left running
            for worker in self._workers:
                worker.signal(signal.SIGKILL)
            raise
        if server is not None:
            server.close()
        return self._finish()

    async def _follow(self, worker: _Worker) -> None:
        """Start a worker, take in its reports, and note how it ended."""
        # A session of its own, so that Ctrl-C in a terminal reaches this process only, which then stops the workers.
        # -P keeps files of the current directory from being taken for modules.
        worker.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "c100k_loadgen.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_REPORT_BOUND_BYTES,
        )
        worker.record.pid = worker.process.pid
        self._write()
        assert worker.process.stdin is not None
        assert worker.process.stdout is not None
        try:
            worker.process.stdin.write(msgspec.json.encode(worker.assignment))
            await worker.process.stdin.drain()
            worker.process.stdin.close()
            if self._stop_reason is not None:
                worker.signal(signal.SIGTERM)
            async for line in worker.process.stdout:
                self._take(worker, msgspec.json.decode(line, type=Report))
        except (ConnectionError, msgspec.DecodeError):
            pass  # it died while it was being written to, or in the middle of a line; its exit code tells
        code = await worker.process.wait()
        if code != 0:
            _end_session(worker.process.pid)
        self._ended(worker, code)

    def _take(self, worker: _Worker, report: Report) -> None:
        worker.totals, worker.phase, worker.said = report.totals, report.phase, report.said
        self._response_times.add(report.response_hdr)
        self._reports[report.t][worker.record.index] = report
        for t in sorted(self._reports)[:-3]:
            del self._reports[t]

    def _ended(self, worker: _Worker, code: int) -> None:
        now = time.time()
        phase = self._times.phase_at(now)
        worker.record.exit_code = code
        worker.totals.connected = worker.totals.away = 0
        if code != 0 or (self._stop_reason is None and phase != "stop"):
            worker.record.died_at, worker.record.phase = now, phase
            self._view.event(
                "worker_died", worker=worker.record.index, pid=worker.record.pid, exit_code=code, phase=phase
            )
        self._write()

    def _tick(self) -> None:
        """Keep the state in the file, and end what must end."""
        now = time.time()
        state = self._state(now)
        if state != self._record.state:
            self._record.state = state
            self._write()
        vanished_s = self._plan.controller_timeout_s
        if vanished_s and time.monotonic() - self._asked_at > vanished_s:
            self._stop("controller_vanished")
        verify_s = self._plan.verify_s if self._plan.verifies else 0
        if self._plan.abort is not None and self._stop_reason is None and self._goes_wrong(self._plan.abort):
            self._stop("aborted")
        if now > self._times.stop_at + self._plan.timeout_s + verify_s + _GRACE_S:
            self._stop("deadline")
        if self._kill_at is not None and time.monotonic() > self._kill_at:
            for worker in self._workers:
                worker.signal(signal.SIGKILL)

    def _goes_wrong(self, abort: Abort) -> bool:
        """Whether more than is borne went wrong in the last seconds; looked at once a second."""
        second = int(time.time())
        if self._history and self._history[-1][0] == second:
            return False
        totals = [worker.totals for worker in self._workers]
        wrong = sum(each.errors + each.timeouts for each in totals)
        self._history.append((second, sum(each.intended for each in totals), wrong))
        if self._history[-1][0] - self._history[0][0] < abort.over_s:
            return False
        _, intended_before, wrong_before = self._history.popleft()
        intended = self._history[-1][1] - intended_before
        return intended > 0 and wrong - wrong_before > abort.error_share * intended

    def _stop(self, reason: StopReason) -> None:
        """Have the workers stop; the first reason counts."""
        if self._stop_reason is not None:
            return
        self._stop_reason = reason
        self._kill_at = time.monotonic() + _GRACE_S
        self._view.event("stopping", reason=reason)
        for worker in self._workers:
            worker.signal(signal.SIGTERM)

    def _finish(self) -> int:
        completed = any(worker.record.died_at is None for worker in self._workers)
        self._record.stop_reason = self._stop_reason or ("completed" if completed else "failed")
        self._record.state = "done"
        self._record.ended_at = time.time()
        if self._record.kernel is not None:
            self._record.kernel.after = kernel.read_counters()
        self._write()
        died = sum(worker.record.died_at is not None for worker in self._workers)
        self._view.event("stopped", reason=self._record.stop_reason, workers_died=died)
        return 0 if self._record.stop_reason == "completed" and not died else 1

    def _write(self) -> None:
        generator_file.write(self._directory, self._record)

    def _state(self, now: float) -> RunState:
        if self._record.ended_at is not None:
            return "done"
        if self._stop_reason is not None:
            return "stop"
        verifying = any(worker.alive and worker.phase == "verify" for worker in self._workers)
        return "verify" if verifying else self._times.phase_at(now)

    def _asked(self) -> status.Status:
        """The status, for one who asks for it, which is also how this process knows that the controller is there.

        Who scrapes the metrics is not the controller, and may outlive it.
        """
        self._asked_at = time.monotonic()
        return self._status()

    def _status(self) -> status.Status:
        now = time.time()
        names = [field.name for field in msgspec.structs.fields(Totals)]
        counts = {name: sum(getattr(worker.totals, name) for worker in self._workers) for name in names}
        return status.Status(
            run_id=self._plan.run_id,
            host=self._plan.host,
            state=self._state(now),
            stage=self._plan.stage_at(now),
            phase_ends_at=None if self._stop_reason else self._times.phase_ends_at(now),
            ends_at=self._times.stop_at,
            target=self._plan.connections,
            said=most_frequent(sum((Counter(worker.said) for worker in self._workers), Counter()), _SAID_MOST),
            last_second=self._last_second(),
            workers=[status.WorkerStatus(it.record.index, it.record.pid, it.alive) for it in self._workers],
            **counts,
        )

    def _last_second(self) -> status.LastSecond | None:
        alive = {worker.record.index for worker in self._workers if worker.alive}
        whole = [t for t, reports in self._reports.items() if alive <= reports.keys()]
        return status.merge(list(self._reports[max(whole)].values())) if whole else None

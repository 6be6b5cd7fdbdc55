"""A worker as its parent sees it: a process that comes and goes, and figures that only grow."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process

import msgspec

from c100k_server.config import STATE_KEY_VARIABLE, Address, ServeConfig, WorkerConfig, WorkerReport
from c100k_server.metrics import WorkerFigures
from c100k_server.statistics import BEAT_NS, CELLS, CLOSED, COUNTERS, HUNG_S, StatisticsBoard, held

# An interpreter starts in 0.2 s on a quiet machine; dozens at once on a busy one take longer.
START_TIMEOUT_S = 60.0


class WorkerProcess:
    """The worker `index` through all its lives."""

    def __init__(
        self,
        index: int,
        config: ServeConfig,
        tcp: Address | None,
        http: Address | None,
        ws: Address | None,
        connections_max: int,
        board: StatisticsBoard,
        state_key: bytes,
        inbox_fd: int,
        mailbox_prefix: str,
        workers: int,
        unix_fd: int | None,
    ) -> None:
        self.index = index
        self.serving = False
        self.problem = ""
        self.problem_is_final = False
        self._config = WorkerConfig(
            index=index,
            workers=workers,
            parent_pid=os.getpid(),
            statistics_fd=board.fd,
            inbox_fd=inbox_fd,
            mailbox_prefix=mailbox_prefix,
            app=config.app,
            tcp=tcp,
            http=http,
            ws=ws,
            unix_fd=unix_fd,
            connections_max=connections_max,
            limits=config.limits,
            http_config=config.http_config,
            tls=config.tls,
            drain_s=config.drain_s,
            state=config.state,
        )
        # Arguments can be seen by every user of the host, the environment only by this one.
        self._environment = {**os.environ, STATE_KEY_VARIABLE: state_key.hex()}
        self._inherited = (board.fd, inbox_fd, *(() if unix_fd is None else (unix_fd,)))
        self._row = board.row(index)
        # What earlier lives have counted.
        self._buried = [0] * CELLS
        self._starts = 0
        self._process: Process | None = None

    async def start(self) -> None:
        """Start an interpreter of its own, in its own session so that a terminal's Ctrl-C reaches the parent only."""
        self.problem = "it said nothing"
        self._starts += 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "c100k_server.worker",
            msgspec.json.encode(self._config).decode(),
            stdout=PIPE,
            env=self._environment,
            pass_fds=self._inherited,
            start_new_session=True,
        )

    async def serves(self) -> bool:
        """Wait until it serves, or cannot; then `problem` says why."""
        process = self._living()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                report = await process.stdout.readline()
        except TimeoutError:
            self.problem = f"it was not ready within {START_TIMEOUT_S:.0f} s"
            process.kill()
            return False
        if report:
            said = msgspec.json.decode(report, type=WorkerReport)
            self.problem, self.problem_is_final = said.problem, said.is_final
            self.serving = not self.problem
        return self.serving

    async def wait(self) -> int:
        """Its exit status, negative for a signal."""
        status = await self._living().wait()
        self.serving = False
        if self.problem == "it said nothing":
            self.problem = f"it died of {signal.Signals(-status).name}" if status < 0 else f"it exited with {status}"
        return status

    def bury(self, *, cause: str) -> int:
        """Add up the figures of the dead process for the next to start at zero; the connections it held are closed
        under `cause`, and returned."""
        connections = held(self._row)
        for cell in COUNTERS:
            self._buried[cell] += self._row[cell]
        self._buried[CLOSED[cause]] += connections
        for cell in range(CELLS):
            self._row[cell] = 0
        return connections

    def terminate(self) -> None:
        """Have it drain."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def reload(self) -> None:
        """Have it read its certificate anew."""
        if self.serving and self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGHUP)

    def kill(self) -> bool:
        """End it at once; whether there was anything to end."""
        if self._process is None or self._process.returncode is not None:
            return False
        self._process.kill()
        return True

    @property
    def pid(self) -> int:
        return self._living().pid

    @property
    def connections(self) -> int:
        return held(self._row)

    @property
    def up(self) -> bool:
        """Whether it serves and its loop turns."""
        return self.serving and time.monotonic_ns() - self._row[BEAT_NS] < HUNG_S * 1e9

    def figures(self) -> WorkerFigures:
        return WorkerFigures(
            worker=str(self.index),
            up=self.up,
            starts=self._starts,
            connections=self.connections,
            cells=[buried + current for buried, current in zip(self._buried, self._row, strict=True)],
        )

    def _living(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"worker {self.index} has not been started")
        return self._process

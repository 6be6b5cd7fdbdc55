"""The parent: starts the workers, restarts those that die, answers operators, and drains on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from c100k_server import admin, metrics, sockets
from c100k_server.config import Address, ServeConfig, StateConfig
from c100k_server.errors import ServerError, StateKeyError, WorkerStartError
from c100k_server.events import emit
from c100k_server.limits import WorkerPlan
from c100k_server.peers import make_mailboxes
from c100k_server.statistics import StatisticsBoard
from c100k_server.tls import load_context
from c100k_server.worker_process import WorkerProcess

if TYPE_CHECKING:
    from c100k_server.membership import Membership

# A worker that has never served is given up after so many attempts in a row.
START_ATTEMPTS = 5
# The wait before a restart doubles for as long as workers die young.
YOUNG_S = 5.0
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
# What a worker may take beyond the drain itself.
DRAIN_GRACE_S = 1.0
# A key file that is shorter can be guessed.
STATE_KEY_MIN_BYTES = 32


class Supervisor:
    """One server. `run` returns after a drain; it raises `ServerError` when it cannot serve."""

    def __init__(self, config: ServeConfig, plan: WorkerPlan) -> None:
        self._config = config
        self._plan = plan
        if config.tls is not None:
            # Better said once by the parent than by every worker.
            load_context(config.tls)
        self._state_key = read_state_key(config.state_key_file)
        self._board = StatisticsBoard.create(plan.workers)
        self._workers: list[WorkerProcess] = []
        self._draining = asyncio.Event()
        self._killed = 0
        self._metrics_cpu_s = 0.0
        self._announced = False
        self._addresses: dict[str, Address] = {}
        self._admin = config.admin
        # Where there is a cluster.
        self._membership: Membership | None = None

    async def run(self) -> None:
        reserved = []
        unix = None if self._config.unix is None else sockets.unix_listener(self._config.unix)
        for option, address in (("tcp", self._config.tcp), ("http", self._config.http), ("ws", self._config.ws)):
            if address is not None:
                holder, self._addresses[option] = sockets.reserve(address, option=f"--{option}")
                reserved.append(holder)
        pages = {"/metrics": self._metrics, "/healthz": self._healthz, "/readyz": self._readyz}
        if self._config.state is not None:
            pages["/cluster"] = self._cluster
        server, self._admin = await admin.start(self._config.admin, pages)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)
        mailbox_prefix, mailboxes = make_mailboxes(self._plan.workers)
        self._workers = [
            WorkerProcess(
                index,
                self._config,
                self._addresses.get("tcp"),
                self._addresses.get("http"),
                self._addresses.get("ws"),
                self._plan.connections_max,
                self._board,
                self._state_key,
                mailboxes[index].fileno(),
                mailbox_prefix,
                self._plan.workers,
                None if unix is None else unix.fileno(),
            )
            for index in range(self._plan.workers)
        ]
        started = time.monotonic()
        try:
            if self._config.state is not None:
                await self._join(self._config.state)
            async with asyncio.TaskGroup() as tasks:
                for worker in self._workers:
                    tasks.create_task(self._keep_alive(worker))
        except ExceptionGroup as group:
            # Several may have failed alike; one sentence is what the user needs. An `except*` would wrap it again.
            failures, others = group.split(ServerError)
            if failures is None or others is not None:
                raise
            raise failures.exceptions[0] from None
        finally:
            server.close()
            if self._membership is not None:
                await self._membership.close()
            if unix is not None and self._config.unix is not None:
                unix.close()
                sockets.remove(self._config.unix)
            for holder in (*reserved, *mailboxes):
                holder.close()
        emit("stopped", uptime_s=round(time.monotonic() - started, 3), killed=self._killed)

    async def _join(self, config: StateConfig) -> None:
        # Only a server of a cluster has the client of Redis in memory.
        from c100k_server.membership import Membership
        from c100k_server.state.shared_state import read_settings

        settings = read_settings(config, "membership")
        self._membership = Membership(settings, config.node, self._board.parent, config.failover_after_s)
        await self._membership.start()

    async def _keep_alive(self, worker: WorkerProcess) -> None:
        never_served = 0
        backoff_s = BACKOFF_FIRST_S
        while not self._draining.is_set():
            started = time.monotonic()
            try:
                served = await self._live_once(worker)
            finally:
                worker.kill()
            if served:
                never_served = 0
            else:
                if worker.problem_is_final and not self._announced:
                    raise ServerError(worker.problem)
                never_served += 1
                if never_served >= START_ATTEMPTS and not self._draining.is_set():
                    raise WorkerStartError(worker=worker.index, attempts=never_served, reason=worker.problem)
            if time.monotonic() - started >= YOUNG_S:
                backoff_s = BACKOFF_FIRST_S
            try:
                async with asyncio.timeout(backoff_s):
                    await self._draining.wait()
            except TimeoutError:
                backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _live_once(self, worker: WorkerProcess) -> bool:
        """One life of a worker, from start to death; whether it has served."""
        await worker.start()
        if self._draining.is_set():
            worker.terminate()
        served = await worker.serves()
        if served:
            emit("worker_started", worker=worker.index, pid=worker.pid)
            self._announce()
        status = await worker.wait()
        connections = worker.bury(cause="drain" if self._draining.is_set() else "worker_died")
        if not self._draining.is_set():
            ending = {"signal": signal.Signals(-status).name} if status < 0 else {"status": status}
            emit("worker_died", worker=worker.index, pid=worker.pid, **ending, connections=connections)
        return served

    def _announce(self) -> None:
        if self._announced or not all(worker.serving for worker in self._workers):
            return
        self._announced = True
        emit(
            "listening",
            pid=os.getpid(),
            **{option: str(address) for option, address in self._addresses.items()},
            **({} if self._config.unix is None else {"unix": self._config.unix}),
            admin=str(self._admin),
            workers=self._plan.workers,
            connections_max=self._plan.workers * self._plan.connections_max,
        )

    def _on_stop_signal(self) -> None:
        if self._draining.is_set():
            # Asked twice: whoever asks does not want to wait.
            self._kill_all()
            return
        self._draining.set()
        emit("draining", connections=sum(worker.connections for worker in self._workers), drain_s=self._config.drain_s)
        for worker in self._workers:
            worker.terminate()
        asyncio.get_running_loop().call_later(self._config.drain_s + DRAIN_GRACE_S, self._kill_all)

    def _on_reload_signal(self) -> None:
        emit("reloading")
        for worker in self._workers:
            worker.reload()

    def _kill_all(self) -> None:
        self._killed += sum(worker.kill() for worker in self._workers)

    def _metrics(self, names: list[str]) -> admin.Page:
        began = time.thread_time()
        usage = os.times()
        with open("/proc/self/statm", encoding="ascii") as statm:
            resident_bytes = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        parent = metrics.ParentFigures(
            cpu_s=usage.user + usage.system, resident_bytes=resident_bytes, metrics_cpu_s=self._metrics_cpu_s
        )
        content = metrics.render([worker.figures() for worker in self._workers], parent, names).encode()
        if not names:
            # Who watches takes everything; who asks for some families each second is a part of the run.
            self._metrics_cpu_s += time.thread_time() - began
        return HTTPStatus.OK, metrics.CONTENT_TYPE, content

    def _healthz(self, _names: list[str]) -> admin.Page:
        """Well while any worker serves: the others are being seen to."""
        return self._health(well=any(worker.up for worker in self._workers))

    def _readyz(self, _names: list[str]) -> admin.Page:
        """Ready while all workers serve, so that load spreads as planned, and the node is one of its cluster."""
        well = bool(self._workers) and all(worker.up for worker in self._workers) and not self._draining.is_set()
        return self._health(well=well and (self._membership is None or self._membership.held))

    def _cluster(self, _names: list[str]) -> admin.Page:
        """The nodes that live."""
        membership = self._membership
        known = {
            "node": membership and membership.node,
            "member": membership is not None and membership.held,
            "nodes": [] if membership is None else membership.nodes(),
        }
        return HTTPStatus.OK, "application/json", msgspec.json.encode(known)

    def _health(self, *, well: bool) -> admin.Page:
        up = sum(worker.up for worker in self._workers)
        status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
        state = "draining" if self._draining.is_set() else "serving"
        cut_off = ", cut off from the cluster" if self._membership is not None and not self._membership.held else ""
        text = f"{state}: {up} of {self._plan.workers} workers up{cut_off}\n"
        return status, "text/plain; charset=utf-8", text.encode()


def read_state_key(path: str | None) -> bytes:
    """The key of `requestState`, which all nodes of a cluster share by a file; one of this server's own without it.

    Raises `StateKeyError`.
    """
    if path is None:
        return os.urandom(STATE_KEY_MIN_BYTES)
    try:
        key = Path(path).read_bytes().strip()
    except OSError as error:
        raise StateKeyError(path=path, reason=error.strerror or str(error)) from None
    if len(key) < STATE_KEY_MIN_BYTES:
        raise StateKeyError(path=path, reason=f"it has {len(key)} bytes, at least {STATE_KEY_MIN_BYTES} are needed")
    return key


async def supervise(config: ServeConfig, plan: WorkerPlan) -> None:
    """Run one server until it is told to stop."""
    await Supervisor(config, plan).run()

"""One worker process. `python -m c100k_server.worker CONFIG` is started by the supervisor, never by hand.

It says on its standard output, once and as JSON, that it serves (`null`) or why it cannot (a sentence).
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys

import msgspec
import uvloop

from c100k_server.config import WorkerConfig
from c100k_server.protocol import Service
from c100k_server.statistics import StatisticsBoard
from c100k_server.tcp import TcpListener
from c100k_server.tools import ECHO
from c100k_server.vitals import Vitals

# linux/prctl.h
PR_SET_PDEATHSIG = 1


def main() -> None:
    config = msgspec.json.decode(sys.argv[1], type=WorkerConfig)
    # What else is printed in this process must not look like a report.
    report = os.dup(1)
    os.dup2(2, 1)
    end_with_parent(config.parent_pid)
    uvloop.run(serve(config, report))


def end_with_parent(parent_pid: int) -> None:
    """Have the kernel send SIGTERM to this process when its parent dies; exit if it is dead already."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != parent_pid:
        sys.exit(1)


async def serve(config: WorkerConfig, report: int) -> None:
    """Serve until SIGTERM, then drain."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    figures = StatisticsBoard.open(config.statistics_fd).row(config.index)
    listener = TcpListener(Service([ECHO], figures), figures, config.limits, config.connections_max)
    vitals = Vitals(figures, on_beat=listener.check_deadlines)
    try:
        await listener.start(config.tcp)
    except OSError as error:
        tell(report, f"cannot listen on {config.tcp}: {error.strerror}")
        sys.exit(1)
    vitals.start()
    tell(report, None)
    await stop.wait()
    await listener.drain(config.drain_s)
    vitals.publish()


def tell(report: int, problem: str | None) -> None:
    os.write(report, msgspec.json.encode(problem) + b"\n")
    os.close(report)


if __name__ == "__main__":
    main()

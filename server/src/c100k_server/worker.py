"""One worker process. `python -m c100k_server.worker CONFIG` is started by the supervisor, never by hand.

It says on its standard output, once and as JSON, that it serves or why it cannot: a `WorkerReport`.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import os
import signal
import socket
import sys
import time
from contextlib import AsyncExitStack
from functools import partial

import msgspec
import uvloop

from c100k_server.authentication import Authenticator, TokenFile
from c100k_server.config import STATE_KEY_VARIABLE, HttpConfig, WorkerConfig, WorkerReport
from c100k_server.errors import BindError, ServerError
from c100k_server.events import emit
from c100k_server.http_endpoint import HttpListener
from c100k_server.listening import Listening
from c100k_server.loading import load_app, load_function
from c100k_server.peers import Peers
from c100k_server.service import Service
from c100k_server.sockets import shared_listener
from c100k_server.statistics import BOOT, StatisticsBoard
from c100k_server.tcp import TcpListener
from c100k_server.tls import Tls
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
    board = StatisticsBoard.open(config.statistics_fd)
    figures = board.row(config.index)
    try:
        tls = None if config.tls is None else Tls(config.tls)
        loop.add_signal_handler(signal.SIGHUP, reload, tls)
        app = ECHO if config.app is None else load_app(config.app)
        figures[BOOT] = boot = time.time_ns()
        state_key = bytes.fromhex(os.environ.pop(STATE_KEY_VARIABLE))
        service = Service(app, figures, state_key, loop, config.index, config.workers)
        service.in_flight_max = config.limits.in_flight_max
        async with AsyncExitStack() as stack:
            if app.lifespan is not None:
                service.lifespan = await stack.enter_async_context(app.lifespan())
            state = None
            if config.state is not None:
                # Only a worker of a cluster has the client of Redis in memory.
                from c100k_server.state.shared_state import shared_state

                state = await stack.enter_async_context(shared_state(config.state, config.index, boot, service, board))
            listeners = await listen(config, service, tls)
            http = next((each for each in listeners if isinstance(each, HttpListener)), None)
            peers = Peers(
                config.index,
                config.workers,
                config.inbox_fd,
                config.mailbox_prefix,
                service.subscriptions,
                http,
                tells_events=state is None,
            )
            peers.start()
            publishers = [service.publish, *(each.publish for each in listeners)]
            publishers.append(partial(service.registry.publish, figures))
            deadlines = [service.tasks.expire, *(each.check_deadlines for each in listeners)]
            shared = [] if state is None else [state.beat]
            vitals = Vitals(figures, on_beat=[peers.flush, *publishers, *deadlines, *shared])
            vitals.start()
            tell(report, WorkerReport())
            await stop.wait()
            await asyncio.gather(*(each.drain(config.drain_s) for each in listeners))
            service.close()
            for publish in (*publishers, vitals.publish):
                publish()
    except (OSError, ServerError) as error:
        tell(report, WorkerReport(str(error), is_final=isinstance(error, ServerError) and error.is_final))
        sys.exit(1)


async def listen(config: WorkerConfig, service: Service, tls: Tls | None) -> list[Listening]:
    """Raises `ServerError`."""
    listeners: list[Listening] = []
    address = None
    authenticator = authenticator_for(config.http_config, service)
    try:
        if config.tcp is not None:
            address = config.tcp
            tcp = TcpListener("tcp", service, config.limits, config.connections_max)
            await tcp.start(shared_listener(config.tcp, config.limits.keepalive), tls)
            listeners.append(tcp)
        if config.unix_fd is not None:
            unix = TcpListener("unix", service, config.limits, config.connections_max)
            await unix.start_unix(socket.socket(fileno=config.unix_fd))
            listeners.append(unix)
        if config.http is not None:
            address = config.http
            http = HttpListener(
                service,
                config.index,
                config.limits,
                config.http_config,
                config.connections_max,
                authenticator,
                is_local=ipaddress.ip_address(address.host).is_loopback,
            )
            await http.start(shared_listener(config.http, config.limits.keepalive), tls)
            listeners.append(http)
        if config.ws is not None:
            # Loaded by those who serve it only: picows and what comes with it are some 10 MiB.
            from c100k_server.websocket import WebSocketListener

            address = config.ws
            ws = WebSocketListener(
                service,
                config.limits,
                config.http_config,
                config.connections_max,
                authenticator,
                is_local=ipaddress.ip_address(address.host).is_loopback,
            )
            await ws.start(shared_listener(config.ws, config.limits.keepalive), tls)
            listeners.append(ws)
    except OSError as error:
        raise BindError(address=str(address), option="worker", reason=error.strerror or str(error)) from None
    return listeners


def authenticator_for(http: HttpConfig, service: Service) -> Authenticator | TokenFile | None:
    """Who says whose a token is, if anyone does. Raises `AppLoadError` and `TokenFileError`."""
    if http.token_file is not None:
        return TokenFile(http.token_file)
    verify = service.app.verifier if http.auth is None else load_function(http.auth)
    return None if verify is None else Authenticator(verify, service.threads, http.auth_cache_s)


def reload(tls: Tls | None) -> None:
    """Use the certificate that is in the files now, unless it cannot be used."""
    if tls is not None:
        try:
            tls.reload()
        except ServerError as error:
            emit("reload_failed", reason=str(error))


def tell(channel: int, report: WorkerReport) -> None:
    os.write(channel, msgspec.json.encode(report) + b"\n")
    os.close(channel)


if __name__ == "__main__":
    main()

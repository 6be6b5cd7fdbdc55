"""The command line."""

from __future__ import annotations

import argparse
import math
import os
import sys
from typing import NoReturn

import uvloop

from c100k_server import __version__
from c100k_server.config import Address, ConnectionLimits, ServeConfig
from c100k_server.errors import ServerError, UsageError
from c100k_server.limits import DEFAULT_CONNECTIONS, available_memory_bytes, plan_workers, raise_file_limit
from c100k_server.supervisor import supervise


def main() -> None:
    """The command `c100k-server`. Ends with 0, with 2 for wrong usage, with 1 when it cannot serve."""
    try:
        config = read_arguments(sys.argv[1:])
        plan = plan_workers(
            connections=config.connections,
            workers=config.workers,
            file_limit=raise_file_limit(),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=available_memory_bytes(),
        )
        uvloop.run(supervise(config, plan))
    except ServerError as error:
        print(f"c100k-server: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def read_arguments(arguments: list[str]) -> ServeConfig:
    """Raises `UsageError`."""
    parser = _Parser(prog="c100k-server", description="A Model Context Protocol server for many connections.")
    parser.add_argument("--version", action="version", version=f"c100k-server {__version__}")
    serve = parser.add_subparsers(dest="command", required=True, metavar="serve").add_parser(
        "serve", help="serve until SIGTERM, then drain", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    option = serve.add_argument
    option(
        "--tcp", metavar="HOST:PORT", type=Address.parse, default="127.0.0.1:7000", help="clients, one message a line"
    )
    option(
        "--admin", metavar="HOST:PORT", type=Address.parse, default="127.0.0.1:7001", help="/metrics /healthz /readyz"
    )
    option("--workers", metavar="auto|N", type=_auto_or_positive, default="auto", help="processes")
    auto = f"expected on this host; auto: {DEFAULT_CONNECTIONS}, or what so many workers hold"
    option("--connections", metavar="auto|N", type=_auto_or_positive, default="auto", help=auto)
    option("--max-line-bytes", metavar="N", type=_positive, default=2**20, help="longest message accepted")
    option("--write-buffer-bytes", metavar="N", type=_positive, default=2**18, help="unsent answers per connection")
    option("--slow-reader-s", metavar="S", type=_seconds, default=10.0, help="how long a peer may leave them unread")
    option("--drain-s", metavar="S", type=_seconds, default=10.0, help="how long SIGTERM may take")
    parsed = parser.parse_args(arguments)
    return ServeConfig(
        tcp=parsed.tcp,
        admin=parsed.admin,
        workers=parsed.workers,
        connections=parsed.connections,
        limits=ConnectionLimits(
            max_line_bytes=parsed.max_line_bytes,
            write_buffer_bytes=parsed.write_buffer_bytes,
            slow_reader_s=parsed.slow_reader_s,
        ),
        drain_s=parsed.drain_s,
    )


def _auto_or_positive(text: str) -> int | None:
    return None if text == "auto" else _positive(text)


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number

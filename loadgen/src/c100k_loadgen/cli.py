"""The command line of c100k-loadgen."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from c100k_loadgen import capacity
from c100k_loadgen.errors import LoadgenError, PlanError
from c100k_loadgen.plan import Plan, read_plan
from c100k_loadgen.supervisor import Supervisor
from c100k_loadgen.version import VERSION

_DEFAULT_STATUS = "127.0.0.1:7002"


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="c100k-loadgen", description="An open-loop load generator for MCP servers.")
    parser.add_argument("--version", action="version", version=f"c100k-loadgen {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="carry out one host's plan")
    check = commands.add_parser("check", help="say whether a plan can be carried out on this host")
    for command in (run, check):
        command.add_argument("plan", metavar="PLAN.yml", type=Path)
    run.add_argument("--output", metavar="DIR", type=Path, help="where the files go (default: ./RUN_ID)")
    run.add_argument(
        "--status",
        metavar="HOST:PORT",
        type=_address,
        default=_DEFAULT_STATUS,
        help=f"where GET /status is answered (default: {_DEFAULT_STATUS}; port 0 takes a free one)",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 0 when all went to its end, 2 for a bad plan or wrong usage, 1 for anything else."""
    options = _arguments().parse_args(arguments)
    try:
        plan, workers, limits = _fitting(options.plan)
        if options.command == "check":
            most = -(-plan.connections // workers)
            print(
                f"{options.plan}: good; {workers} workers of up to {most:,} connections, {limits.nofile:,} files each."
            )
            return 0
        plan = plan.resolved(time.time())
        supervisor = Supervisor(plan, workers, limits.nofile, options.output or Path(plan.run_id), options.status)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(supervisor.run())
    except LoadgenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"c100k-loadgen: {error}", file=sys.stderr)
        return 1


def _fitting(path: Path) -> tuple[Plan, int, capacity.Limits]:
    """The plan, the workers it takes, and the limits they were planned from.

    Raises:
        PlanError: it is no good, or does not fit this host.
    """
    plan = read_plan(path)
    limits = capacity.Limits.of_this_host()
    if problems := [*capacity.missing_sources(plan), *capacity.problems(plan, limits)]:
        raise PlanError(str(path), problems)
    return plan, capacity.workers_for(plan, limits), limits

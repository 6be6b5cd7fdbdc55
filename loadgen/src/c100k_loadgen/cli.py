"""The command line of c100k-loadgen."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from c100k_loadgen import capacity, source_addresses, stand_alone, thresholds, views
from c100k_loadgen.calls import calls_of
from c100k_loadgen.credentials import check_credentials
from c100k_loadgen.discovery import discovered, with_param_headers
from c100k_loadgen.errors import LoadgenError, PlanError, UrlError
from c100k_loadgen.plan import Plan, plan_schema
from c100k_loadgen.plan_reader import read_plan
from c100k_loadgen.report import Outputs, report
from c100k_loadgen.supervisor import Supervisor
from c100k_loadgen.url import is_url
from c100k_loadgen.version import VERSION

_DEFAULT_STATUS = ("127.0.0.1", 7002)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(prog="c100k-loadgen", description="An open-loop load generator for MCP servers.")
    whole.add_argument("--version", action="version", version=f"c100k-loadgen {VERSION}")
    commands = whole.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="put load on a server, or carry out one host's plan")
    run.add_argument("target", metavar="URL|PLAN.yml", help="a server to be judged at once, or a plan")
    run.add_argument("--output", metavar="DIR", type=Path, help="keep the raw files there (a plan: in ./RUN_ID)")
    run.add_argument(
        "--status",
        metavar="HOST:PORT",
        type=_address,
        help="where GET /status is answered (a plan: 127.0.0.1:7002; port 0 takes a free one)",
    )
    run.add_argument(
        "--add-addresses",
        metavar="DEVICE",
        help="give this host the source addresses that it has not, on that device, as long as the run goes on (root)",
    )
    stand_alone.add_options(run)
    check = commands.add_parser("check", help="say whether a plan can be carried out on this host")
    check.add_argument("plan", metavar="PLAN.yml", type=Path)
    commands.add_parser("schema", help="print the JSON Schema of a plan")
    reporting = commands.add_parser("report", help="judge a run by the files that it left")
    reporting.add_argument("directory", metavar="DIR", type=Path)
    for command in (run, reporting):
        group = command.add_argument_group("the verdict")
        group.add_argument(
            "--sla",
            action="append",
            metavar="THRESHOLD",
            help=f"such as p95<100ms, errors<0.1%%, rate>=500; may be repeated "
            f"({' and '.join(thresholds.DEFAULT).replace('%', '%%')})",
        )
        for form in Outputs._fields:
            group.add_argument(
                f"--{form}", metavar="FILE", type=Path, help=f"write the results there as {form.upper()}"
            )
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns 0 when all went to its end, or the verdict is PASS; 1 for FAIL and anything that went wrong, 3 for INVALID,
    2 for a bad plan or wrong usage.
    """
    options = parser().parse_args(arguments)
    try:
        if options.command == "check":
            return _check(options.plan)
        if options.command == "schema":
            print(plan_schema().decode(), end="")
            return 0
        if options.command == "report":
            return _report(options.directory, options)
        source_addresses.remove_leftovers()
        return _stand_alone(options) if is_url(options.target) else _planned(options)
    except LoadgenError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"c100k-loadgen: {error}", file=sys.stderr)
        return 1


def _check(path: Path) -> int:
    plan = read_plan(path)
    workers, limits = _fitting(plan, str(path))
    most = -(-plan.connections // workers)
    print(f"{path}: good; {workers} workers of up to {most:,} connections, {limits.nofile:,} files each.")
    return 0


def _report(directory: Path, options: argparse.Namespace) -> int:
    outputs = Outputs(options.json, options.junit, options.html)
    outputs.check()
    text, judgement = report(directory, options.sla or [], outputs)
    print(text)
    return judgement.exit_code


def _planned(options: argparse.Namespace) -> int:
    verdict = [f"--{name}" for name in ("sla", *Outputs._fields) if getattr(options, name) is not None]
    if given := [*stand_alone.given_options(options), *verdict]:
        raise PlanError(options.target, [f"{', '.join(given)} go with a URL, not with a plan; see also report."])
    if ":" in options.target and not Path(options.target).exists():
        raise UrlError(
            f"{options.target} is no file, and as an address it lacks its beginning: http:// or tcp://, say."
        )
    plan = read_plan(Path(options.target))
    with _addresses(plan, options):
        workers, limits = _fitting(plan, options.target)
        plan = with_param_headers(discovered(plan)).resolved(time.time())
        directory = options.output or Path(plan.run_id)
        return _run(plan, workers, limits, directory, options.status or _DEFAULT_STATUS, views.JournalView())


def _stand_alone(options: argparse.Namespace) -> int:
    for text in options.sla or []:
        thresholds.parse(text)
    Outputs(options.json, options.junit, options.html).check()
    plan = stand_alone.plan_of(options.target, options)
    with tempfile.TemporaryDirectory(prefix="c100k-loadgen-") as temporary:
        directory = options.output or Path(temporary)
        with _addresses(plan, options):
            workers, limits = _fitting(plan, options.target)
            plan = with_param_headers(discovered(plan)).resolved(time.time())
            # Its exit code says what the verdict says in words: whether all workers came to their end.
            _run(plan, workers, limits, directory, options.status, views.view_of(sys.stderr))
        return _report(directory, options)


def _addresses(plan: Plan, options: argparse.Namespace) -> contextlib.AbstractContextManager[None]:
    """Has this host have the source addresses, if that is asked for."""
    if options.add_addresses is None:
        return contextlib.nullcontext()
    return source_addresses.added(plan.source_addresses, options.add_addresses)


def _run(
    plan: Plan,
    workers: int,
    limits: capacity.Limits,
    directory: Path,
    status: tuple[str, int] | None,
    view: views.View,
) -> int:
    supervisor = Supervisor(plan, workers, limits.nofile, directory, status, view)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(supervisor.run())


def _fitting(plan: Plan, source: str) -> tuple[int, capacity.Limits]:
    """The workers that the plan takes, and the limits they were planned from.

    Raises:
        PlanError: it does not fit this host.
        CredentialsError: what it names cannot be had.
    """
    check_credentials(plan)
    calls_of(plan)
    limits = capacity.Limits.of_this_host()
    if problems := [
        *capacity.missing_commands(plan),
        *capacity.missing_sources(plan),
        *capacity.problems(plan, limits),
    ]:
        raise PlanError(source, problems)
    return capacity.workers_for(plan, limits), limits

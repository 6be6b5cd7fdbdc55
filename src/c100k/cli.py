"""The command line `c100k`. Exit codes: 0 PASS, 1 FAIL, 3 INVALID, 2 wrong usage or refused before the start."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from c100k import __version__, comparison, comparison_pages, lab, launch, planner, quick_benchmark, report, run_store
from c100k.errors import C100KError
from c100k.project import ROOT, RUNS
from c100k.run_directory import RunDirectory


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except C100KError as error:
        print(f"c100k: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read the output wants no more of it, as `head` does; nor must Python try to write the rest at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    whole = argparse.ArgumentParser(prog="c100k", description=__doc__)
    whole.add_argument("--version", action="version", version=f"c100k {__version__}")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    lab_parser = commands.add_parser("lab", help="four Debian hosts on this machine (needs root)")
    lab_parser.add_argument("action", choices=("up", "down", "status", "image"))
    lab_parser.add_argument("--name", default=lab.LabConfig.name, help="labs of several names may run side by side")
    lab_parser.add_argument("--subnet", default=lab.LabConfig.subnet, help="an IPv4 /24 that nothing else uses")
    lab_parser.set_defaults(command=_lab)

    run_parser = commands.add_parser("run", help="run a scenario and judge it")
    run_parser.add_argument("scenario", metavar="SCENARIO", help=", ".join(launch.scenarios()))
    run_parser.add_argument("-i", "--inventory", type=Path, default=ROOT / "inventory" / "lab", metavar="PATH")
    run_parser.add_argument("-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE")
    run_parser.add_argument(
        "--runs-dir", type=Path, default=RUNS, metavar="DIR", help="where the run directory is made"
    )
    run_parser.add_argument(
        "--timeout", type=_seconds, default=os.environ.get("TEST_TIMEOUT") or None, metavar="SECONDS"
    )
    run_parser.add_argument("-v", "--verbose", action="count", default=int(bool(os.environ.get("TEST_VERBOSE"))))
    run_parser.add_argument("--provisioned", action="store_true", help="the hosts are ready: begin with the run")
    run_parser.set_defaults(command=_run)

    benchmark_parser = commands.add_parser("benchmark", help="measure on this machine, without a lab")
    benchmark_parser.add_argument(
        "which", choices=("quick",), help="server and generator on loopback, in half a minute"
    )
    benchmark_parser.add_argument(
        "--connections", type=_at_least_one, default=quick_benchmark.QuickBenchmark.connections, metavar="N"
    )
    benchmark_parser.add_argument(
        "--rate",
        type=_at_least_one,
        default=quick_benchmark.QuickBenchmark.rate_per_s,
        metavar="N",
        help="messages a second",
    )
    benchmark_parser.add_argument(
        "--duration", type=_at_least_one, default=quick_benchmark.QuickBenchmark.hold_s, metavar="SECONDS"
    )
    benchmark_parser.add_argument("--runs-dir", type=Path, default=RUNS, metavar="DIR", help="where its files are kept")
    benchmark_parser.set_defaults(command=_benchmark)

    report_parser = commands.add_parser("report", help="judge a run directory anew, from its raw files")
    report_parser.add_argument("run", type=Path, metavar="RUN", help="a directory below runs/, or runs/latest")
    report_parser.set_defaults(command=_report)

    compare_parser = commands.add_parser("compare", help="hold runs against others: 0 no worse, 1 worse, 3 unclear")
    compare_parser.add_argument("baseline", nargs="?", metavar="A", help="short for --baseline A --candidate B")
    compare_parser.add_argument("candidate", nargs="?", metavar="B", help="a path, or the id of a run in the store")
    compare_parser.add_argument("--baseline", nargs="+", dest="baselines", default=[], metavar="RUN")
    compare_parser.add_argument("--candidate", nargs="+", dest="candidates", default=[], metavar="RUN")
    compare_parser.add_argument(
        "--noticeable", type=_share, default=comparison.NOTICEABLE, metavar="PERCENT", help="a change that matters (10)"
    )
    compare_parser.add_argument("--html", type=Path, metavar="FILE", help="write the comparison as a page, too")
    compare_parser.add_argument("--runs-dir", type=Path, default=RUNS, metavar="DIR", help="the run store")
    compare_parser.set_defaults(command=_compare)

    runs_parser = commands.add_parser("runs", help="list the run store, the newest run first")
    runs_parser.add_argument("--runs-dir", type=Path, default=RUNS, metavar="DIR", help="the run store")
    runs_parser.set_defaults(command=_runs)

    plan_parser = commands.add_parser("plan", help="what so many connections would take")
    plan_parser.add_argument("--connections", type=int, required=True, metavar="N")
    plan_parser.add_argument("--rate", type=float, metavar="N", help="messages a second (1 for each 10 connections)")
    plan_parser.add_argument("--transport", choices=("tcp", "http"), default="tcp", help="whose measured cost to take")
    plan_parser.add_argument("--run", metavar="RUN", help="take the cost that this run has measured")
    plan_parser.add_argument("--servers", type=_at_least_one, metavar="N", help="server hosts (as few as will do)")
    plan_parser.add_argument("--generators", type=_at_least_one, metavar="N", help="generator hosts (likewise)")
    plan_parser.add_argument("--cores", type=_at_least_one, default=16, metavar="N", help="of each host (16)")
    plan_parser.add_argument("--memory-gib", type=_seconds, default=64, metavar="N", help="of each host (64)")
    plan_parser.add_argument("--file-limit", type=_at_least_one, default=1_048_576, metavar="N", help="of a process")
    plan_parser.set_defaults(command=_plan)
    return whole


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")
    return value


def _share(text: str) -> float:
    try:
        value = float(text.removesuffix("%")) / 100
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage above 0")
    return value


def _lab(options: argparse.Namespace) -> int:
    config = lab.LabConfig(name=options.name, subnet=options.subnet)
    if options.action == "down":
        lab.down(config, _say)
        return 0
    if options.action == "image":
        print(f"The hosts of a lab start from {lab.prepare(config, _say)}")
        return 0
    found = lab.up(config, _say) if options.action == "up" else lab.status(config)
    print(f"lab {found.name} is {found.state}: bridge {found.bridge}, {found.subnet}, ssh -F {found.ssh_config}")
    for node in found.nodes:
        print(f"  {node.name:<8}{node.address:<16}{'answers' if node.answers else 'does not answer'}")
    return 0


def _run(options: argparse.Namespace) -> int:
    wanted = launch.Launch(
        scenario=options.scenario,
        inventory=options.inventory.absolute(),
        extra=options.extra_vars,
        runs=options.runs_dir.absolute(),
        timeout_s=options.timeout,
        verbose=options.verbose,
        provision=not options.provisioned,
    )
    launch.playbook_of(wanted.scenario)
    with _lab_of(launch.host_variables(wanted)):
        return launch.run(wanted)


def _benchmark(options: argparse.Namespace) -> int:
    wanted = quick_benchmark.QuickBenchmark(
        connections=options.connections,
        rate_per_s=options.rate,
        hold_s=options.duration,
        runs=options.runs_dir.absolute(),
    )
    return quick_benchmark.run(wanted)


@contextlib.contextmanager
def _lab_of(hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Hold the lab that these hosts are in, if they are: two runs at once on one lab would measure each other."""
    found = next((host for host in hosts.values() if host.get("c100k_substrate") == "lab"), None)
    if found is None:
        yield
        return
    config = lab.LabConfig(name=found["c100k_lab_name"], subnet=found["c100k_lab_subnet"])
    with lab.hold(config, _say):
        yield
        if lab.status(config).state != "down":
            down = f"c100k lab down --name {config.name} --subnet {config.subnet}"
            print(f"The lab stays up for the next run; remove it with: {down}")


def _report(options: argparse.Namespace) -> int:
    directory = RunDirectory(options.run.resolve())
    judged = report.write(directory)
    print(directory.summary.read_text(), end="")
    return judged.verdict.exit_code


def _compare(options: argparse.Namespace) -> int:
    sides = [
        [*([alone] if alone else []), *several]
        for alone, several in ((options.baseline, options.baselines), (options.candidate, options.candidates))
    ]
    if not all(sides) or (options.baseline and (options.baselines or options.candidates)):
        raise comparison.ComparisonError(
            "Name two runs, A and B, or several a side: --baseline RUN RUN ... --candidate RUN RUN ..."
        )
    baseline, candidate = ([run_store.find(name, options.runs_dir) for name in side] for side in sides)
    compared = comparison.compare(_judged(baseline), _judged(candidate), options.noticeable)
    print(comparison_pages.text(compared))
    if options.html:
        _write(options.html, comparison_pages.html(compared, [*baseline, *candidate]))
    return compared.verdict.exit_code


def _judged(runs: Sequence[RunDirectory]) -> list[comparison.Judged]:
    return [comparison.Judged(report.read(run.path), run.read_plan()["settings"]) for run in runs]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise C100KError(f"{path} cannot be written: {error.strerror}.") from None


def _runs(options: argparse.Namespace) -> int:
    print(run_store.table(run_store.directories(options.runs_dir)))
    return 0


def _plan(options: argparse.Namespace) -> int:
    if options.run is not None:
        cost = planner.cost_of(report.read(run_store.find(options.run, RUNS).path))
    else:
        cost = planner.HTTP if options.transport == "http" else planner.TCP
    rate = options.connections / 10 if options.rate is None else options.rate
    host = planner.Host(options.cores, int(options.memory_gib * 2**30), options.file_limit)
    planned = planner.plan(options.connections, rate, host, cost, options.servers, options.generators)
    print(planner.text(planned, host))
    return 0


def _say(line: str) -> None:
    print(line, flush=True)

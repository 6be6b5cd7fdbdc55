"""The load scenario at several rates, several times: medians and spread of what each `run.json` says."""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from c100k import launch, report
from c100k.record import Run

FIGURES = {
    "p50 ms": lambda run: run.latency_ms.p50,
    "p95 ms": lambda run: run.latency_ms.p95,
    "p99 ms": lambda run: run.latency_ms.p99,
    "msg/s": lambda run: run.messages.rate_per_s,
    "server us/msg": lambda run: run.server.total.cpu_us_per_message,
    "server KiB/conn": lambda run: run.server.total.rss_per_connection_bytes / 1024,
    "generator us/msg": lambda run: run.loadgen.total.cpu_us_per_message,
    "generator KiB/conn": lambda run: run.loadgen.total.rss_per_connection_bytes / 1024,
    "ramp conn/s": lambda run: run.connections.ramp_rate_per_s,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=[10_000, 20_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--hold", type=int, default=60, help="seconds")
    parser.add_argument("-e", "--extra-vars", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    runs: dict[int, list[Run]] = {rate: [] for rate in options.rates}
    for _ in range(options.repeat):
        for rate in options.rates:
            extra = [f"c100k_rate_per_s={rate}", f"c100k_hold_s={options.hold}", *options.extra_vars]
            wanted = launch.Launch("load", extra=extra)
            launch.run(wanted)
            runs[rate] += [report.read(path) for path in Path(wanted.runs).glob(f"{wanted.stamp}-*")]
    for rate, found in runs.items():
        verdicts = ", ".join(run.verdict for run in found)
        print(f"\n{rate:,} messages/s, {options.repeat} runs: {verdicts}")
        for name, figure in FIGURES.items():
            values = sorted(figure(run) for run in found)
            print(
                f"  {name:<19} median {statistics.median(values):>10,.2f}   from {values[0]:,.2f} to {values[-1]:,.2f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Cost of server and generator on loopback, side by side with a bare uvloop server, in turn, several times.

The server must not cost more than `LIMIT` times the bare one, by the median of the ratios of each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from c100k.histograms import empty, merge_by_second
from c100k.raw_csv import complete_rows

LIMIT = 1.5
HOLD_S = 8
# A machine may be busy.
START_S = 60
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU a message of either end, KiB a connection of either, and how late messages were.

    Of 1,000 sends 999 were at most `slip_p999_ms` late. `idle_share` of the machine's processors had nothing to do.
    """

    server_us: float
    generator_us: float
    server_kib: float
    generator_kib: float
    p95_ms: float
    slip_p999_ms: float
    idle_share: float


def processes_below(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(below for child in children for below in processes_below(int(child)))]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def processor_ticks() -> tuple[int, int]:
    """Those in which processors were idle, and all."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=HERE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


def measure(command: list[str], port: int, connections: int, rate: int, ramp_s: int = 3) -> Cost:
    start = int(time.time()) + 3
    plan = {
        "schema_version": 1,
        "run_id": "benchmark",
        "host": "here",
        "protocol": "2025-11-25",
        "transport": "tcp",
        "targets": [{"name": "server", "address": "127.0.0.1", "port": port}],
        "connections": connections,
        "rate_per_s": rate,
        "payload_bytes": 100,
        "start_at": start,
        "ramp_s": ramp_s,
        "settle_s": 3,
        "hold_s": HOLD_S,
        "timeout_s": 10,
        "workers": 1,
    }
    with tempfile.TemporaryDirectory() as work, running(command, port) as server:
        path = Path(work) / "plan.yml"
        path.write_text(yaml.safe_dump(plan))
        idle = sum(rss_kib(pid) for pid in processes_below(server))
        generator = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "c100k_loadgen",
                "run",
                str(path),
                "--output",
                f"{work}/out",
                "--status",
                "127.0.0.1:0",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(max(0, start + ramp_s + 4 - time.time()))
        ends = {"server": processes_below(server), "generator": processes_below(generator.pid)}
        idle_before, all_before = processor_ticks()
        before = {end: sum(cpu_s(pid) for pid in pids) for end, pids in ends.items()}
        time.sleep(HOLD_S - 2)
        spent = {end: sum(cpu_s(pid) for pid in pids) - before[end] for end, pids in ends.items()}
        idle_after, all_after = processor_ticks()
        held = sum(rss_kib(pid) for pid in ends["server"])
        if generator.wait(60):
            raise SystemExit("the generator did not complete")
        response, slip = empty(), empty()
        for _, merged in merge_by_second(Path(work, "out").glob("*-hold.hlog")):
            response.add(merged["hold", "response"])
            if ("hold", "slip") in merged:
                slip.add(merged["hold", "slip"])
        [worker] = Path(work, "out").glob("*-seconds.csv")
        rss = [int(row["rss_bytes"]) for row in complete_rows(worker)]
        record = json.loads(Path(work, "out", "generator.json").read_text())
        assert record["stop_reason"] == "completed"
    messages = rate * (HOLD_S - 2)
    return Cost(
        server_us=spent["server"] / messages * 1e6,
        generator_us=spent["generator"] / messages * 1e6,
        server_kib=(held - idle) / connections,
        generator_kib=(max(rss) - rss[0]) / connections / 1024,
        p95_ms=response.get_value_at_percentile(95) / 1000,
        slip_p999_ms=slip.get_value_at_percentile(99.9) / 1000,
        idle_share=(idle_after - idle_before) / (all_after - all_before),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=4000)
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    ratios, costs = [], {"c100k-server": list[Cost](), "bare": list[Cost]()}
    for turn in range(options.repeat):
        for name, found in costs.items():
            port = free_port()
            ours = [
                sys.executable,
                "-m",
                "c100k_server",
                "serve",
                "--tcp",
                f"127.0.0.1:{port}",
                "--admin",
                "127.0.0.1:0",
            ]
            bare = [sys.executable, str(HERE / "bare_server.py"), str(port)]
            command = [*ours, "--workers", "1"] if name == "c100k-server" else bare
            found.append(measure(command, port, options.connections, options.rate))
            print(f"turn {turn + 1} {name:<13}{found[-1]}", flush=True)
        ratios.append(costs["c100k-server"][-1].server_us / costs["bare"][-1].server_us)
    print(f"\n{options.connections:,} connections, {options.rate:,} messages/s, median of {options.repeat} turns:")
    for name, found in costs.items():
        median = Cost(*(statistics.median(getattr(cost, field) for cost in found) for field in Cost.__annotations__))
        print(
            f"{name:<13}server {median.server_us:5.1f} us a message, {median.server_kib:.2f} KiB a connection; "
            f"generator {median.generator_us:5.1f} us a message, {median.generator_kib:.2f} KiB a connection, "
            f"late by {median.slip_p999_ms:.2f} ms in 1 of 1,000; "
            f"p95 {median.p95_ms:.2f} ms"
        )
    ratio = statistics.median(ratios)
    print(f"server against bare: {ratio:.2f} times the CPU a message (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())

"""Cost of a node's death: what the processes spend until its sessions are resumed elsewhere, on loopback.

Four nodes of the server with a Redis Cluster of four masters and four replicas; one node is killed. What is spent
before the death, by sessions that rest, is taken off. Nothing is asserted: the figures are for `--repeat` turns.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml
from loopback import HERE, cpu_s, free_port, processes_below, running

sys.path.insert(0, str(HERE.parent / "tests"))
from redis_cluster import RedisCluster

NODES = 4
SETTLE_S = 4
HOLD_S = 20
# Into the hold phase.
DEATH_S = 2
SAMPLE_S = 0.05


@dataclass(frozen=True)
class Recovery:
    """One death: microseconds of CPU a resumed session by who spent them, and seconds until so many were back."""

    sessions: int
    server_us: float
    generator_us: float
    masters_us: float
    replicas_us: float
    p50_s: float
    p999_s: float

    @property
    def total_us(self) -> float:
        return self.server_us + self.generator_us + self.masters_us + self.replicas_us


def plan_of(ports: list[int], connections: int, workers: int, start: int, ramp_s: int) -> dict[str, object]:
    return {
        "schema_version": 1,
        "run_id": "benchmark",
        "host": "here",
        "targets": [{"name": f"n{i}", "address": "127.0.0.1", "port": port} for i, port in enumerate(ports)],
        "connections": connections,
        "rate_per_s": 100,
        "start_at": start,
        "ramp_s": ramp_s,
        "settle_s": SETTLE_S,
        "hold_s": HOLD_S,
        "workers": workers,
        "resume": True,
        "increments": 0.5,
    }


def die(node: int) -> None:
    """End a node of the server and its workers at once, and no other process."""
    for pid in processes_below(node):
        subprocess.run(["kill", "-KILL", str(pid)], check=True)


def measure(connections: int, workers: int, node_workers: int, rate: int) -> Recovery:
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        redis = RedisCluster(Path(work))
        stack.callback(redis.close)
        ports, nodes = [], []
        for index in range(NODES):
            port = free_port()
            options = ["--tcp", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0", "--workers", str(node_workers)]
            options += ["--state", "redis", "--redis", redis.seeds, "--node", f"n{index}"]
            command = [sys.executable, "-m", "c100k_server", "serve", *options]
            nodes.append(stack.enter_context(running(command, port)))
            ports.append(port)
        ramp_s = max(2, connections // rate)
        start = int(time.time()) + 3
        path, out = Path(work) / "plan.yml", Path(work) / "out"
        path.write_text(yaml.safe_dump(plan_of(ports, connections, workers, start, ramp_s)))
        command = [sys.executable, "-m", "c100k_loadgen", "run", str(path), "--output", str(out)]
        generator = subprocess.Popen(
            [*command, "--status", "127.0.0.1:0"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        death_at = start + ramp_s + SETTLE_S + DEATH_S
        time.sleep(max(0, death_at - DEATH_S - time.time()))
        masters, replicas = redis.servers[: redis.masters], redis.servers[redis.masters :]
        parts = {
            "server": [pid for node in nodes[1:] for pid in processes_below(node)],
            "generator": processes_below(generator.pid),
            "masters": [server.pid for server in masters],
            "replicas": [server.pid for server in replicas],
        }
        samples: list[tuple[float, dict[str, float]]] = []

        def sample_until(end: float) -> None:
            while time.time() < end:
                spent = {part: sum(cpu_s(pid) for pid in pids) for part, pids in parts.items()}
                samples.append((time.time(), spent))
                time.sleep(SAMPLE_S)

        sample_until(death_at)
        died_at = time.time()
        die(nodes[0])
        sample_until(start + ramp_s + SETTLE_S + HOLD_S - 1)
        if generator.wait(90):
            raise SystemExit("the generator did not complete")
        assert json.loads((out / "generator.json").read_text())["stop_reason"] == "completed"
        rows = [row for each in out.glob("*-resumptions.csv") for row in csv.DictReader(each.open())]
        assert rows
        assert all(row["outcome"] == "resumed" for row in rows), "not all sessions were resumed"
        return result(rows, samples, died_at)


def result(rows: list[dict[str, str]], samples: list[tuple[float, dict[str, float]]], died_at: float) -> Recovery:
    took = sorted(float(row["resumed_at"]) - died_at for row in rows)
    back_at = died_at + took[-1]
    first = samples[0]
    died, back = (next(figures for when, figures in samples if when >= moment) for moment in (died_at, back_at))
    spent: dict[str, float] = {}
    for part in first[1]:
        resting = (died[part] - first[1][part]) / (died_at - first[0])
        spent[part] = (back[part] - died[part] - resting * (back_at - died_at)) / len(rows) * 1e6
    return Recovery(
        len(rows),
        *(spent[part] for part in ("server", "generator", "masters", "replicas")),
        p50_s=statistics.median(took),
        p999_s=took[int(len(took) * 0.999)],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16_000)
    parser.add_argument("--workers", type=int, default=4, help="of the generator")
    parser.add_argument("--node-workers", type=int, default=2, help="of each node of the server")
    parser.add_argument("--ramp-rate", type=int, default=1500, help="connections a second")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    found = []
    for turn in range(options.repeat):
        found.append(measure(options.connections, options.workers, options.node_workers, options.ramp_rate))
        print(f"turn {turn + 1} {found[-1]}", flush=True)
    total = statistics.median(each.total_us for each in found)
    print(f"{found[0].sessions:,} sessions, median of {options.repeat}: {total:.0f} us of CPU a resumed session")
    return 0


if __name__ == "__main__":
    sys.exit(main())

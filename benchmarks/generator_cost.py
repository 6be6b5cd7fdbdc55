"""What the generator costs with many connections, in turn with the least client that can load a server on a schedule.

Both load the same bare server. The generator must not cost more than `LIMIT` times what the bare client does, nor take
more than `MEMORY_KIB` of memory a connection; and unless the machine is saturated, 999 of 1,000 of its messages must
leave within `PACE_MS` of their time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import NamedTuple

from loopback import HERE, HOLD_S, free_port, measure, running

LIMIT = 1.5
MEMORY_KIB = 3.0
PACE_MS = 5.0
#: With less of its processors idle than this a machine is saturated.
IDLE_SHARE = 0.2


class Turn(NamedTuple):
    """Microseconds of CPU a message, KiB a connection, and how late messages were, 999 of 1,000 at most; of both."""

    cpu_us: float
    kib: float
    slip_p999_ms: float
    bare_cpu_us: float
    bare_kib: float
    bare_slip_p999_ms: float
    idle_share: float

    @property
    def ratio(self) -> float:
        return self.cpu_us / self.bare_cpu_us


def bare(command: list[str], port: int, connections: int, rate: int, ramp_s: int) -> dict[str, float]:
    client = [sys.executable, str(HERE / "bare_client.py"), *map(str, (port, connections, rate, ramp_s, HOLD_S - 2))]
    with running(command, port):
        ran = subprocess.run(client, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=15_000)
    parser.add_argument("--rate", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    ramp_s = max(3, options.connections // 2000)
    turns = []
    for number in range(options.repeat):
        port = free_port()
        server = [sys.executable, str(HERE / "bare_server.py"), str(port)]
        load = options.connections, options.rate
        ours = measure(server, port, *load, ramp_s=ramp_s)
        port = free_port()
        least = bare([*server[:-1], str(port)], port, *load, ramp_s)
        turns.append(
            Turn(
                ours.generator_us,
                ours.generator_kib,
                ours.slip_p999_ms,
                least["cpu_us"],
                least["kib"],
                least["slip_p999_ms"],
                ours.idle_share,
            )
        )
        print(f"turn {number + 1} {turns[-1]}", flush=True)
    median = Turn(*(statistics.median(column) for column in zip(*turns, strict=True)))
    ratio = statistics.median(turn.ratio for turn in turns)
    print(f"\n{options.connections:,} connections, {options.rate:,} messages/s, median of {options.repeat} turns:")
    print(f"generator    {median.cpu_us:5.1f} us a message, {median.kib:.2f} KiB a connection (limit {MEMORY_KIB})")
    print(f"bare client  {median.bare_cpu_us:5.1f} us a message, {median.bare_kib:.2f} KiB a connection")
    print(f"generator against bare client: {ratio:.2f} times the CPU a message (limit {LIMIT})")
    late = f"999 of 1,000 messages left within {median.slip_p999_ms:.2f} ms of their time (limit {PACE_MS})"
    saturated = median.idle_share < IDLE_SHARE
    print(late + (f", not judged: {median.idle_share:.0%} of the machine was idle" if saturated else ""))
    paced = saturated or median.slip_p999_ms <= PACE_MS
    return int(ratio > LIMIT or median.kib > MEMORY_KIB or not paced)


if __name__ == "__main__":
    sys.exit(main())

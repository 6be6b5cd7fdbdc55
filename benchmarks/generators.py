"""c100k-loadgen beside wrk, tsung and locust at equal load: calls of `echo` over stateless HTTP.

All count, and the server counts too.

The others keep no schedule: their connections wait `THINK_MS` after an answer. Ours is asked for the rate that this
comes to. CPU is of a part of the load in which nothing starts or ends, over the requests that the server counted in it.
wrk and tsung are Debian's packages; `--locust` names that program, in an environment of its own. What is not there is
left out.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import quoteattr

from loopback import cpu_s, free_port, processes_below, rss_kib, running

CONNECTIONS, THINK_MS, DURATION_S = 200, 100, 15
# When CPU is looked at, from the start of the program.
FROM_S, TO_S = 7, 13
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "benchmark", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "echo", "arguments": {"text": "x" * 100}, "_meta": META},
}
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "echo",
}
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Counted(NamedTuple):
    """What a program says itself; tsung tells no percentiles."""

    requests: int
    p50_ms: float | None
    p99_ms: float | None


class Measured(NamedTuple):
    """That, what the server counted meanwhile, and what the program took: microseconds a request, KiB a connection."""

    said: Counted
    served: int
    rate_per_s: float
    cpu_us: float
    kib: float


class Program(NamedTuple):
    """`command` may write into the folder that it is given, beside the address; `counted` finds the results there."""

    command: Callable[[Path, str], list[str]]
    counted: Callable[[Path], Counted]


def ours(folder: Path, url: str) -> list[str]:
    rate = CONNECTIONS * 1000 / THINK_MS
    load = (
        "--connections",
        str(CONNECTIONS),
        "--rate",
        f"{rate:.1f}",
        "--duration",
        str(DURATION_S - 4),
        "--settle",
        "2",
    )
    command = [sys.executable, "-m", "c100k_loadgen", "run", url, *load, "--workers", "1"]
    return [*command, "--json", str(folder / "results.json")]


def ours_counted(folder: Path) -> Counted:
    results = json.loads((folder / "results.json").read_text())
    service = results["service_ms"]
    return Counted(sum(second["answered"] for second in results["seconds"]), service["p50"], service["p99"])


def wrk(folder: Path, url: str) -> list[str]:
    script = [f"wrk.method = 'POST'\nwrk.body = [[{json.dumps(CALL)}]]"]
    script += [f"wrk.headers['{name}'] = '{value}'" for name, value in HEADERS.items()]
    script += ["wrk.headers['Content-Type'] = 'application/json'", f"function delay() return {THINK_MS} end"]
    path = folder / "echo.lua"
    path.write_text("\n".join(script))
    return ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{DURATION_S}s", "--latency", "-s", str(path), url]


def wrk_counted(folder: Path) -> Counted:
    text = (folder / "output").read_text()
    if "Non-2xx" in text:
        raise SystemExit(text)
    times = re.findall(r"^\s+(?:50|99)%\s+([\d.]+)(us|ms|s)$", text, re.M)
    p50, p99 = (float(number) * _MS[unit] for number, unit in times)
    return Counted(int(re.findall(r"(\d+) requests in", text)[0]), p50, p99)


def tsung(folder: Path, url: str) -> list[str]:
    port = url.split(":")[2].split("/")[0]
    headers = "".join(f'<http_header name="{name}" value="{value}"/>' for name, value in HEADERS.items())
    request = f'url="/mcp" method="POST" content_type="application/json" contents={quoteattr(json.dumps(CALL))}'
    path = folder / "tsung.xml"
    path.write_text(
        f"""<?xml version="1.0"?>
<!DOCTYPE tsung SYSTEM "/usr/share/tsung/tsung-1.0.dtd">
<tsung loglevel="warning">
  <clients><client host="localhost" use_controller_vm="true" maxusers="{2 * CONNECTIONS}"/></clients>
  <servers><server host="127.0.0.1" port="{port}" type="tcp"/></servers>
  <load><arrivalphase phase="1" duration="3" unit="second">
    <users arrivalrate="{CONNECTIONS}" maxnumber="{CONNECTIONS}" unit="second"/>
  </arrivalphase></load>
  <sessions><session name="echo" probability="100" type="ts_http">
    <for from="1" to="{(DURATION_S - 3) * 1000 // THINK_MS}" var="i">
      <request><http {request}>{headers}</http></request><thinktime value="{THINK_MS / 1000}"/>
    </for>
  </session></sessions>
</tsung>
"""
    )
    return ["tsung", "-f", str(path), "-l", str(folder), "start"]


def tsung_counted(folder: Path) -> Counted:
    (log,) = folder.glob("*/tsung.log")
    # By interval.
    return Counted(sum(map(int, re.findall(r"^stats: request (\d+) ", log.read_text(), re.M))), None, None)


def locust(folder: Path, url: str) -> list[str]:
    path = folder / "echo.py"
    path.write_text(
        f"from locust import FastHttpUser, constant_throughput, task\n"
        f"class Caller(FastHttpUser):\n"
        f"    host = {url.removesuffix('/mcp')!r}\n"
        f"    wait_time = constant_throughput({1000 / THINK_MS})\n"
        f"    @task\n"
        f"    def call(self):\n"
        f"        self.client.post('/mcp', json={CALL!r}, headers={HEADERS!r})\n"
    )
    load = ("-u", str(CONNECTIONS), "-r", str(CONNECTIONS), "-t", f"{DURATION_S}s")
    return ["locust", "-f", str(path), "--headless", *load, "--csv", str(folder / "echo"), "--only-summary"]


def locust_counted(folder: Path) -> Counted:
    with (folder / "echo_stats.csv").open() as file:
        total = list(csv.DictReader(file))[-1]
    return Counted(int(total["Request Count"]), float(total["50%"]), float(total["99%"]))


PROGRAMS = {
    "c100k-loadgen": Program(ours, ours_counted),
    "wrk": Program(wrk, wrk_counted),
    "tsung": Program(tsung, tsung_counted),
    "locust": Program(locust, locust_counted),
}


def served(admin: int) -> int:
    """Calls, not what else a server is asked."""
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as response:
        text = response.read().decode()
    calls = re.findall(r'^c100k_server_requests_total\{.*method="tools/call".*\} (\S+)$', text, re.M)
    return sum(int(float(value)) for value in calls)


def measure(program: Program, path: str, url: str, admin: int, environment: dict[str, str]) -> Measured:
    before = served(admin)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        command = program.command(folder, url)
        command[0] = path
        with (folder / "output").open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment, cwd=folder)
            looks = []
            began = time.monotonic()
            for moment in (FROM_S, TO_S):
                time.sleep(max(0.0, began + moment - time.monotonic()))
                pids = processes_below(process.pid)
                looks.append((time.monotonic(), sum(map(cpu_s, pids)), served(admin), sum(map(rss_kib, pids))))
            if process.wait(60):
                raise SystemExit((folder / "output").read_text())
        (t0, cpu0, served0, _), (t1, cpu1, served1, kib) = looks
        answered = served1 - served0
        said = program.counted(folder)
    return Measured(
        said, served(admin) - before, answered / (t1 - t0), (cpu1 - cpu0) / answered * 1e6, kib / CONNECTIONS
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--locust", default="locust", help="the program")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    given = {"c100k-loadgen": sys.executable, "locust": options.locust}
    paths = {name: shutil.which(given.get(name, name)) for name in PROGRAMS}
    for name, path in paths.items():
        if path is None:
            print(f"{name} is not there and left out", flush=True)
    port, admin, names = free_port(), free_port(), free_port()
    # Erlang starts a name server that would stay; this one is ended with the rest.
    environment = {**os.environ, "ERL_EPMD_PORT": str(names)}
    epmd = subprocess.Popen(["epmd"], env=environment) if paths["tsung"] else None
    server = [sys.executable, "-m", "c100k_server", "serve", "--http", f"127.0.0.1:{port}"]
    found: dict[str, list[Measured]] = {name: [] for name, path in paths.items() if path}
    try:
        with running([*server, "--admin", f"127.0.0.1:{admin}", "--workers", "1"], port):
            for turn in range(options.repeat):
                for name, measured in found.items():
                    path = paths[name]
                    assert path
                    measured.append(measure(PROGRAMS[name], path, f"http://127.0.0.1:{port}/mcp", admin, environment))
                    print(f"turn {turn + 1} {name:<14}{measured[-1]}", flush=True)
    finally:
        if epmd:
            epmd.terminate()
            epmd.wait(10)
    print(f"\n{CONNECTIONS} connections, median of {options.repeat} turns:")
    for name, measured in found.items():
        rate, cpu, kib = (statistics.median(getattr(it, field) for it in measured) for field in Measured._fields[2:])
        print(f"{name:<14}{cpu:6.1f} us of CPU a request, {kib:7.1f} KiB a connection with the program, {rate:7,.1f}/s")
    # Who has no schedule leaves what is under way when its time is over. What locust writes is up to two seconds old.
    right = all(
        0 <= it.served - it.said.requests <= {"c100k-loadgen": 0, "locust": 2 * it.rate_per_s}.get(name, CONNECTIONS)
        for name, measured in found.items()
        for it in measured
    )
    print("counts agree with the server's" if right else "counts do not agree with the server's")
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())

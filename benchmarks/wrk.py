"""c100k-loadgen against wrk at equal load: calls of `echo` over stateless HTTP, counted by the server too.

wrk keeps no schedule: its connections wait `THINK_MS` after an answer. Ours is asked for the rate that came of it.
Both must count what the server counts; latencies are printed side by side, ours from the actual send as wrk's are.
Needs wrk (Debian's package of that name).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from loopback import cpu_s, free_port, processes_below, running

CONNECTIONS, THINK_MS, DURATION_S = 200, 100, 10
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "wrk", "version": "4"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
HEADERS = {
    "Accept": "application/json, text/event-stream",
    "Content-Type": "application/json",
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "echo",
}
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Measured(NamedTuple):
    """What a tool counted and what the server did, and latencies in milliseconds."""

    requests: int
    served: int
    rate_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def served(admin: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(int(float(value)) for value in re.findall(r"^c100k_server_http_requests_total\{.*\} (\S+)$", text, re.M))


def with_wrk(program: str, url: str, admin: int) -> Measured:
    body = json.dumps({**CALL, "params": {"name": "echo", "arguments": {"text": "x" * 100}, "_meta": META}})
    script = [f"wrk.method = 'POST'\nwrk.body = [[{body}]]"]
    script += [f"wrk.headers['{name}'] = '{value}'" for name, value in HEADERS.items()]
    script += [f"function delay() return {THINK_MS} end"]
    before = served(admin)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        options = ("-t1", f"-c{CONNECTIONS}", f"-d{DURATION_S}s", "--latency", "-s", file.name)
        process = subprocess.Popen([program, *options, url], stdout=subprocess.PIPE, text=True)
        time.sleep(DURATION_S - 1)
        spent = cpu_s(process.pid)
        text, _ = process.communicate(timeout=30)
    if "Non-2xx" in text:
        raise SystemExit(text)
    requests, rate = (
        int(re.findall(r"(\d+) requests in", text)[0]),
        float(re.findall(r"Requests/sec:\s+(\S+)", text)[0]),
    )
    p50, p99 = (
        float(number) * _MS[unit] for number, unit in re.findall(r"^\s+(?:50|99)%\s+([\d.]+)(us|ms|s)$", text, re.M)
    )
    return Measured(requests, served(admin) - before, rate, p50, p99, spent / (rate * (DURATION_S - 1)) * 1e6)


def with_ours(url: str, admin: int, rate: float) -> Measured:
    before = served(admin)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "results.json"
        load = ("--connections", str(CONNECTIONS), "--rate", f"{rate:.1f}", "--duration", str(DURATION_S))
        command = [sys.executable, "-m", "c100k_loadgen", "run", url, *load, "--settle", "2", "--workers", "1"]
        subprocess.run(
            [*command, "--json", str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
        results = json.loads(path.read_text())
    service = results["service_ms"]
    # Beside the calls the server was asked what it speaks, once by the command and once on each connection.
    asked = served(admin) - before - CONNECTIONS - 1
    return Measured(
        sum(second["answered"] for second in results["seconds"]),
        asked,
        results["messages"]["rate_per_s"],
        service["p50"],
        service["p99"],
        results["generator"]["cpu_us_per_message"],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wrk", default="wrk", help="the program")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    port, admin = free_port(), free_port()
    server = [sys.executable, "-m", "c100k_server", "serve", "--http", f"127.0.0.1:{port}"]
    right = True
    with running([*server, "--admin", f"127.0.0.1:{admin}", "--workers", "1"], port) as pid:
        url = f"http://127.0.0.1:{port}/mcp"
        for turn in range(options.repeat):
            before = sum(cpu_s(each) for each in processes_below(pid))
            wrk = with_wrk(options.wrk, url, admin)
            between = sum(cpu_s(each) for each in processes_below(pid))
            ours = with_ours(url, admin, wrk.rate_per_s)
            after = sum(cpu_s(each) for each in processes_below(pid))
            for name, found, spent in (("wrk", wrk, between - before), ("ours", ours, after - between)):
                server_us = spent / max(1, found.served) * 1e6
                print(
                    f"turn {turn + 1} {name:<5}{found.requests:>7,} counted, {found.served:>7,} served, "
                    f"{found.rate_per_s:8,.1f}/s; p50 {found.p50_ms:6.2f}, p99 {found.p99_ms:7.2f} ms; "
                    f"{found.cpu_us:5.1f} us a request, server {server_us:5.1f}",
                    flush=True,
                )
            # wrk leaves what is under way when its time is over.
            right = right and ours.requests == ours.served and 0 <= wrk.served - wrk.requests <= CONNECTIONS
    print("counts agree with the server's" if right else "counts do not agree with the server's")
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())

"""The sampler: what it reads from /proc and /metrics, and the script as systemd runs it."""

from __future__ import annotations

import csv
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = "roles/sampler/files/sampler.py"
METRICS = """\
# TYPE c100k_server_connections gauge
c100k_server_up{worker="0"} 1
c100k_server_connections{worker="0"} 12
c100k_server_connections{worker="1"} 13
c100k_server_connections_closed_total{worker="0",cause="peer"} 3
c100k_server_connections_closed_total{cause="reset",worker="0"} 4
c100k_server_cpu_seconds_total{worker="parent"} 0.25
c100k_server_messages_received_total{worker="1"} 1.2345678e+07
c100k_server_unknown{worker="0"} 99
"""


@pytest.fixture(scope="module")
def sampler(load: Callable[[str], ModuleType]) -> ModuleType:
    return load(SCRIPT)


def test_sockets_of_both_families_are_added_up(sampler: ModuleType) -> None:
    text = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 3 alloc 8 mem 1\nUDP: inuse 7 mem 2\nTCP6: inuse 2\n"

    assert sampler.sockets(text) == {"inuse": 7, "orphan": 0, "tw": 3, "alloc": 8, "mem": 1}


def test_a_section_pairs_names_with_values(sampler: ModuleType) -> None:
    text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 0 7 9\nIpExt: InNoRoutes\nIpExt: 1\n"

    assert sampler.paired(text, "TcpExt:") == {"SyncookiesSent": 0, "ListenOverflows": 7, "ListenDrops": 9}
    assert sampler.paired("", "TcpExt:") == {}


def test_a_guest_is_not_counted_twice(sampler: ModuleType) -> None:
    per_second = 100
    text = f"cpu  {3 * per_second} 0 {per_second} {5 * per_second} {per_second} 0 0 0 {2 * per_second} 0\ncpu0 1 2 3\n"

    assert sampler.cpu_seconds(text) == (4.0, 10.0)


def test_a_kernel_row_of_this_machine_is_complete(sampler: ModuleType) -> None:
    row = dict(zip(sampler.KERNEL, sampler.kernel_row(1_795_000_000, 0, []), strict=True))

    assert row["t"] == 1_795_000_000
    for column in ("tcp_inuse", "tcp_tw", "tcp_alloc", "tcp_mem_pages", "listen_overflows", "listen_drops"):
        assert isinstance(row[column], int), column
    assert row["tcp_redis"] == 0
    assert row["mem_available_bytes"] > 1 << 20
    assert 0 < float(row["cpu_busy_s"]) < float(row["cpu_total_s"])


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_sockets_are_counted_by_their_ports(sampler: ModuleType, family: int, address: str) -> None:
    with (
        socket.create_server((address, 0), family=family) as listener,
        socket.create_server((address, 0), family=family) as other,
    ):
        port, other_port = listener.getsockname()[1], other.getsockname()[1]
        connections = [socket.create_connection((address, port)) for _ in range(3)]
        accepted = [listener.accept()[0] for _ in connections]

        # The listener, and both ends of each connection.
        assert sampler.sockets_with([port], family) == 7
        assert sampler.sockets_with([1, port, other_port], family) == 8
        assert sampler.sockets_with([other_port, 1], family) == 1
        assert sampler.sockets_with([1, 2, 3], family) == 0
        assert sampler.redis_sockets(20, 0, [port, other_port], version_6=4) == 8
        assert sampler.redis_sockets(21, 0, [port, other_port], version_6=4) == ""
        assert sampler.redis_sockets(22, 7, [port, other_port], version_6=4) == 8
        assert sampler.redis_sockets(21, 0, [], version_6=4) == 0

        # Who closes first leaves a socket that waits, and is not in use.
        for each in (*connections, *accepted):
            each.close()
        assert sampler.sockets_with([port], family) == 1


def test_metrics_become_one_row_a_worker_with_causes_added_up(sampler: ModuleType) -> None:
    rows = [dict(zip(["t", "worker", *sampler.SERVER], row, strict=True)) for row in sampler.server_rows(7, METRICS)]

    assert [row["worker"] for row in rows] == ["0", "1", "parent"]
    assert rows[0]["closed"] == "7"
    assert rows[0]["connections"] == "12"
    assert rows[1]["received"] == "12345678"
    assert rows[1]["up"] == ""
    assert rows[2]["cpu_s"] == "0.25"


def test_look_ups_become_one_row_for_each_worker_and_source(sampler: ModuleType) -> None:
    name = "c100k_server_registry_lookup_seconds"
    lines = [
        *(f'{name}_bucket{{worker="1",source="cache",le="{bound}"}} {40}' for bound in sampler.BOUNDS),
        f'{name}_sum{{worker="1",source="cache"}} 0.25',
        f'{name}_count{{worker="1",source="cache"}} 40',
        *(f'{name}_bucket{{worker="1",source="redis",le="{bound}"}} 0' for bound in sampler.BOUNDS),
        f'{name}_sum{{worker="1",source="redis"}} 0',
        'c100k_server_all_workers_registry_lookup_seconds_sum{source="cache"} 7',
    ]

    rows = sampler.lookup_rows(7, "\n".join(lines))

    assert rows == [[7, "1", "cache", "0.25", *["40"] * len(sampler.BOUNDS)]]


class Metrics(BaseHTTPRequestHandler):
    """Answers like the server, or too late."""

    delay_s = 0.0

    def do_GET(self) -> None:
        time.sleep(self.delay_s)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


def test_a_server_that_is_not_there_has_no_rows(sampler: ModuleType) -> None:
    assert sampler.ask("http://127.0.0.1:9/metrics") == ""


def test_a_server_that_speaks_another_protocol_has_no_rows(sampler: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"{}\n\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert sampler.ask(f"http://127.0.0.1:{listener.getsockname()[1]}/metrics") == ""
        thread.join()


def test_the_script_writes_a_row_a_second_until_it_is_told_to_stop(tmp_path: Path, url: str, collection: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", str(collection / SCRIPT), "--output", str(tmp_path), "--metrics", url]
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and len(_rows(tmp_path / "server.csv")) < 6:
            time.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0

    kernel, server = _rows(tmp_path / "kernel.csv"), _rows(tmp_path / "server.csv")
    seconds = [int(row["t"]) for row in kernel]
    assert len(seconds) >= 2
    assert seconds == sorted(set(seconds))
    assert abs(seconds[-1] - time.time()) < 30
    assert {int(row["t"]) for row in server} <= set(seconds)
    assert [row["worker"] for row in server[:3]] == ["0", "1", "parent"]


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))

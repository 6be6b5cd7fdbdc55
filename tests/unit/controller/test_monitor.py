"""The table of the monitor, from a real server's and a stub generator's answers over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from c100k import monitor
from c100k.live import Endpoint

METRICS = """# TYPE c100k_server_connections gauge
c100k_server_connections{worker="0"} 60
c100k_server_connections{worker="1"} 40
c100k_server_messages_received_total{worker="0"} 1000
c100k_server_resident_memory_bytes{worker="0"} 1048576
c100k_server_resident_memory_bytes{worker="parent"} 1048576
"""
STATUS = {
    **{"state": "hold", "connected": 99, "target": 100, "errors": 1, "timeouts": 2, "connect_errors": 0, "closed": 1},
    **{"away": 0, "reopening": 0, "ends_at": time.time() + 600, "last_second": {"answered": 250}},
}


class Host(BaseHTTPRequestHandler):
    """Stands for the two pages of a host."""

    def do_GET(self) -> None:
        text = METRICS if self.path == "/metrics" else json.dumps(STATUS)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_all_hosts_are_shown_with_their_own_counts_and_their_sum(url: str) -> None:
    gone = Endpoint("node3", "http://127.0.0.1:1/metrics")
    servers = [Endpoint("node1", f"{url}/metrics"), Endpoint("node2", f"{url}/metrics"), gone]
    hosts = monitor.watched(servers, [Endpoint("node1", f"{url}/status")])

    sights = next(monitor.follow(hosts))
    shown = monitor.table(sights, sights, 1.0)

    assert [sight.connections for sight in sights] == [100, 100, None]
    lines = shown.splitlines()
    assert "hold   [####################]      99 / 100 connected     250 msg/s  p95    -     3 errors" in lines.pop(0)
    assert lines[1].split() == ["node1", "100", "0", "2", "MiB", "hold,", "99", "of", "100", "connected"]
    assert lines[2].endswith("no run")
    assert lines[-1] == f"{'all':<12}{200:>12,}   no server answers at node3"


def test_a_rate_is_the_growth_over_the_time_that_passed() -> None:
    before, now = (monitor.Sight("node1", 10, received, None, None) for received in (1000, 1500))
    assert monitor.table([now], [before], 2.0).splitlines()[2].split()[2] == "250"


def test_without_a_run_there_is_none() -> None:
    sight = monitor.Sight("node1", 10, 1000, None, None)
    assert monitor.progress([sight]) is None
    assert monitor.table([sight], None, 0).splitlines()[0] == "no run"

"""The figures at /metrics, read as Prometheus reads them."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from c100k_server.latency import SAMPLED

EXAMPLES = Path(__file__).parents[3] / "server/examples"
BY_WORKER, ALL_WORKERS = "c100k_server_", "c100k_server_all_workers_"
SLOW_APP = """
import threading
from c100k_server import App, Context

app = App("slow")
gate = threading.Event()

@app.tool
def wait() -> str:
    gate.wait()
    return "waited"

@app.tool(inline=True)
def open_gate() -> str:
    gate.set()
    return "open"

@app.tool(inline=True)
def large() -> str:
    return "x" * 300_000

@app.resource("clock://now")
def now() -> str:
    return "now"
"""


def families(server: Any) -> dict[str, Any]:
    """All families of a server, by name as it is exposed."""
    status, text = server.get("/metrics")
    assert status == 200
    found = list(text_string_to_metric_families(text))
    names = [each.name for each in found]
    assert len(names) == len(set(names)), "a family comes in one piece"
    assert all(each.documentation and each.type != "unknown" for each in found)
    return {each.name + ("_total" if each.type == "counter" else ""): each for each in found}


def requests(server: Any) -> dict[tuple[str, str], float]:
    """Requests of all workers by method and outcome."""
    samples = families(server)[f"{ALL_WORKERS}requests_total"].samples
    return {(each.labels["method"], each.labels["outcome"]): each.value for each in samples}


def labelled(server: Any, name: str, label: str) -> dict[str, float]:
    """Samples of all workers that are not zero, by one label."""
    samples = families(server)[ALL_WORKERS + name].samples
    return {each.labels[label]: each.value for each in samples if each.value}


@pytest.fixture
def slow(start_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Start a server with tools that wait, answer late and answer much."""
    (tmp_path / "slow.py").write_text(SLOW_APP)
    monkeypatch.chdir(tmp_path)
    return lambda *options: start_server("slow:app", "--workers", "1", *options)


def test_prometheus_can_read_them(server: Any) -> None:
    server.connect().echo("x")
    found = families(server)
    for name in (
        "up", "worker_starts_total", "connections", "connections_opened_total", "connections_closed_total",
        "messages_received_total", "messages_sent_total", "request_errors_total", "cpu_seconds_total",
        "resident_memory_bytes", "gc_pause_max_seconds", "loop_lag_max_seconds",
    ):  # fmt: skip
        assert all(sample.labels["worker"] in ("0", "parent") for sample in found[BY_WORKER + name].samples)
        assert all("worker" not in sample.labels for sample in found[ALL_WORKERS + name].samples)
    samples = server.metrics()
    assert samples['cpu_seconds_total{worker="parent"}'] > 0
    assert samples['resident_memory_bytes{worker="0"}'] > 2**20
    assert samples['gc_pause_max_seconds{worker="0"}'] >= 0


def test_who_asks_for_some_families_gets_no_others(server: Any) -> None:
    status, text = server.get("/metrics?name[]=c100k_server_connections&name%5B%5D=c100k_server_cpu_seconds_total")

    assert status == 200
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    assert {each.name for each in samples} == {"c100k_server_connections", "c100k_server_cpu_seconds_total"}
    assert "parent" in {each.labels["worker"] for each in samples}


def test_the_parent_counts_what_whole_answers_take(server: Any) -> None:
    cell = 'metrics_cpu_seconds_total{worker="parent"}'

    def some() -> float:
        status, text = server.get(f"/metrics?name[]={BY_WORKER}metrics_cpu_seconds_total")
        assert status == 200
        (sample,) = [each for family in text_string_to_metric_families(text) for each in family.samples]
        return float(sample.value)

    before = server.metrics()[cell]
    after = some()
    assert before < after == some()
    samples = server.metrics()
    assert samples[cell] == after < samples['cpu_seconds_total{worker="parent"}']


def test_messages_are_counted(start_server: Any) -> None:
    server = start_server("--workers", "1")
    client = server.connect()
    client.echo("x")
    client.request("no/such")
    assert server.total("messages_received_total") == 4
    assert server.total("messages_sent_total") == 3
    assert server.total("request_errors_total") == 1


def test_all_workers_are_the_sum_of_each(start_server: Any) -> None:
    server = start_server("--workers", "2")
    for _ in range(20):
        server.connect().echo("x")
    found = families(server)
    for name, merge in (("requests_total", sum), ("connections", sum), ("up", sum), ("gc_pause_max_seconds", max)):
        each = [sample.value for sample in found[BY_WORKER + name].samples]
        assert merge(sample.value for sample in found[ALL_WORKERS + name].samples) == merge(each)
    assert {sample.labels["worker"] for sample in found[f"{BY_WORKER}requests_total"].samples} == {"0", "1"}


def test_requests_by_method_and_outcome(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLES)
    server = start_server("weather:app", "--workers", "1")
    client = server.connect()
    client.request("tools/list")
    client.request("tools/call", {"name": "forecast", "arguments": {"city": "quito"}})
    client.request("tools/call", {"name": "forecast", "arguments": {"city": "atlantis"}})
    client.request("tools/call", {"name": "forecast", "arguments": {"city": 7}})
    client.request("tools/call", {"name": "none"})
    client.request("resources/read", {"uri": "other://x"})
    client.request("made/up")
    client.send(b"not JSON\n")
    assert client.receive()["error"]["code"] == -32700
    assert requests(server) == {
        ("initialize", "ok"): 1,
        ("tools/list", "ok"): 1,
        ("tools/call", "ok"): 1,
        ("tools/call", "tool_error"): 1,
        ("tools/call", "error"): 2,
        ("resources/read", "error"): 1,
        ("other", "error"): 1,
    }


def test_latency_is_sampled_at_once_and_whole_later(slow: Any) -> None:
    server = slow()
    client = server.connect(initialized=False)
    for _ in range(2 * SAMPLED):
        client.request("ping")
    client.initialize()
    for _ in range(3):
        client.request("resources/read", {"uri": "clock://now"})

    def histogram(kind: str, suffix: str) -> list[float]:
        samples = families(server)[f"{BY_WORKER}request_seconds"].samples
        return [each.value for each in samples if each.name.endswith(suffix) and each.labels["kind"] == kind]

    server.wait_until(lambda: histogram("at_once", "_count") == [2])
    assert histogram("later", "_count") == [3]
    for kind in ("at_once", "later"):
        buckets = histogram(kind, "_bucket")
        assert buckets == sorted(buckets)
        assert [buckets[-1]] == histogram(kind, "_count")
        assert histogram(kind, "_sum")[0] > 0


def test_bytes_are_those_on_the_wire(slow: Any) -> None:
    server = slow("--http", "127.0.0.1:0")
    ping, pong = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n', b'{"jsonrpc":"2.0","id":1,"result":{}}\n'
    client = server.connect(initialized=False)
    client.send(ping)
    client.receive()
    with socket.create_connection(server.http, timeout=10) as connection:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    server.wait_until(lambda: len(labelled(server, "bytes_sent_total", "transport")) == 2)
    assert labelled(server, "bytes_received_total", "transport") == {"tcp": len(ping), "http": len(request)}
    assert labelled(server, "bytes_sent_total", "transport") == {"tcp": len(pong), "http": len(answer)}
    assert labelled(server, "http_refusals_total", "status") == {"404": 1}


def test_what_waits_is_seen(slow: Any) -> None:
    server = slow()
    client = server.connect()
    calls = [
        {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "wait", "arguments": {}}}
        for number in range(129)
    ]
    client.send(*calls)
    assert client.receive()["error"]["code"] == -32000
    server.wait_until(lambda: server.total("requests_in_flight") == 128)
    server.wait_until(lambda: (server.total("threads_busy"), server.total("threads_queued")) == (32, 96))
    assert labelled(server, "limits_hit_total", "limit") == {"in_flight": 1}
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 127}})
    server.wait_until(lambda: requests(server).get(("tools/call", "cancelled")) == 1)
    server.connect().request("tools/call", {"name": "open_gate"})
    assert all(client.receive()["result"]["content"][0]["text"] == "waited" for _ in range(127))
    server.wait_until(lambda: server.total("requests_in_flight") == 0)
    server.wait_until(lambda: (server.total("threads_busy"), server.total("threads_queued")) == (0, 0))


def test_a_batch_does_not_wait_for_what_was_cancelled(slow: Any) -> None:
    server = slow()
    client = server.connect(initialized=False)
    client.initialize("2025-03-26")
    call = {"jsonrpc": "2.0", "id": "slow", "method": "tools/call", "params": {"name": "wait", "arguments": {}}}
    client.send([call, {"jsonrpc": "2.0", "id": "quick", "method": "ping"}])
    server.wait_until(lambda: server.total("requests_in_flight") == 1)
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})
    assert [answer["id"] for answer in client.receive()] == ["quick"]
    client.request("tools/call", {"name": "open_gate"})


def test_connections_that_do_not_read_are_paused(slow: Any) -> None:
    server = slow("--slow-reader-s", "600")
    client = server.connect(receive_buffer_bytes=4096)
    large = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "large", "arguments": {}}}
    client.send(*[large] * 60)
    server.wait_until(lambda: server.total("connections_paused") == 1)
    assert labelled(server, "limits_hit_total", "limit").keys() == {"write_buffer"}
    client.socket.close()
    server.wait_until(lambda: server.total("connections") == 0)
    assert server.total("connections_paused") == 0


def test_open_streams(slow: Any) -> None:
    server = slow("--http", "127.0.0.1:0")
    client = server.connect(initialized=False)
    keys = {"protocolVersion": "2026-07-28", "clientCapabilities": {}}
    meta = {f"io.modelcontextprotocol/{key}": value for key, value in keys.items()}
    client.request("subscriptions/listen", {"_meta": meta, "notifications": {}}, 7)
    assert labelled(server, "streams", "kind") == {"listen": 1}
    client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}})
    server.wait_until(lambda: not labelled(server, "streams", "kind"))
    assert requests(server) == {("subscriptions/listen", "cancelled"): 1}
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
    head, _ = post(server, {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params})
    session = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"mcp-session-id"))
    with socket.create_connection(server.http, timeout=10) as stream:
        stream.sendall(b"GET /mcp HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n%b\r\n\r\n" % session)
        assert stream.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert labelled(server, "streams", "kind") == {"get": 1}
    server.wait_until(lambda: not labelled(server, "streams", "kind"))


def test_figures_of_a_killed_worker_go_on(start_server: Any) -> None:
    server = start_server("--workers", "1")
    client = server.connect()
    client.echo("x")
    server.wait_until(lambda: bool(labelled(server, "bytes_sent_total", "transport")))
    sent = labelled(server, "bytes_sent_total", "transport")["tcp"]
    os.kill(server.pids[0], signal.SIGKILL)
    server.event("worker_started")
    assert requests(server) == {("initialize", "ok"): 1, ("tools/call", "ok"): 1}
    server.connect().echo("y")
    assert requests(server) == {("initialize", "ok"): 2, ("tools/call", "ok"): 2}
    server.wait_until(lambda: labelled(server, "bytes_sent_total", "transport")["tcp"] == 2 * sent)


def post(server: Any, message: Any) -> tuple[bytes, bytes]:
    """Head and body of the answer to one message over HTTP."""
    body = json.dumps(message).encode()
    with socket.create_connection(server.http, timeout=10) as connection:
        connection.sendall(
            b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        answer = b""
        while data := connection.recv(65536):
            answer += data
    head, _, content = answer.partition(b"\r\n\r\n")
    return head, content

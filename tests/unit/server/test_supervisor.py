"""The parent and its workers: restarts, drains, and figures that outlive a worker."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

COUNTERS = ("connections_opened_total", "messages_received_total", "messages_sent_total", "cpu_seconds_total")


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def held_by(server: Any, worker: int) -> int:
    return int(server.metrics()[f'connections{{worker="{worker}"}}'])


def test_killed_worker_is_restarted_and_its_figures_are_kept(start_server: Any) -> None:
    server = start_server("--workers", "2")
    clients = [server.connect() for _ in range(40)]
    assert all(client.echo("x")["result"] for client in clients)
    held = held_by(server, 0)
    assert 0 < held < 40
    before = server.metrics()
    old = server.pids[0]
    os.kill(old, signal.SIGKILL)
    died = server.event("worker_died")
    assert (died["worker"], died["pid"], died["signal"], died["connections"]) == (0, old, "SIGKILL", held)
    started = server.event("worker_started")
    assert started["worker"] == 0
    assert started["pid"] != old
    after = server.metrics()
    for name in COUNTERS:
        assert after[f'{name}{{worker="0"}}'] >= before[f'{name}{{worker="0"}}'] > 0
    assert after['worker_starts_total{worker="0"}'] == 2
    assert after['connections{worker="0"}'] == 0
    assert after['connections_closed_total{worker="0",cause="worker_died"}'] == held
    assert after['connections{worker="1"}'] == 40 - held
    server.wait_until(lambda: server.get("/readyz")[0] == 200)
    while held_by(server, 0) == 0:
        assert server.connect().echo("y")["result"]
    assert server.metrics()['messages_received_total{worker="0"}'] > after['messages_received_total{worker="0"}']


def test_counts_always_add_up(start_server: Any) -> None:
    server = start_server("--workers", "2")
    for round_number in range(3):
        for client in [server.connect() for _ in range(20)]:
            client.socket.close()
        os.kill(server.pids[round_number % 2], signal.SIGKILL)
        server.event("worker_started")
    server.connect()
    server.wait_until(lambda: server.total("connections") == 1)
    samples = server.metrics()
    closed = sum(value for key, value in samples.items() if key.startswith("connections_closed_total"))
    assert server.total("connections_opened_total") == 61
    assert closed == 60


def test_stopped_worker_is_seen_and_its_stall_measured(start_server: Any) -> None:
    server = start_server("--workers", "1")
    client = server.connect()
    client.echo("x")
    os.kill(server.pids[0], signal.SIGSTOP)
    server.wait_until(lambda: server.metrics()['up{worker="0"}'] == 0)
    assert server.total("messages_received_total") == 3
    assert held_by(server, 0) == 1
    assert server.get("/healthz")[0] == 503
    os.kill(server.pids[0], signal.SIGCONT)
    server.wait_until(lambda: server.metrics()['up{worker="0"}'] == 1)
    assert server.metrics()['loop_lag_max_seconds{worker="0"}'] > 2
    assert server.get("/healthz") == (200, "serving: 1 of 1 workers up\n")


def test_drain_finishes_what_is_in_flight(start_server: Any) -> None:
    server = start_server("--workers", "2", "--drain-s", "8")
    idle = [server.connect() for _ in range(10)]
    busy = server.connect()
    busy.send(b'{"jsonrpc":"2.0","id":"late",')
    # The half message has to be there before the signal is.
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    assert server.event("draining")["connections"] == 11
    assert all(client.receive() is None for client in idle)
    for client in idle:
        client.socket.close()
    assert server.get("/readyz")[0] == 503
    server.wait_closed("drain", 10)
    busy.send(b'"method":"ping"}\n')
    assert busy.receive() == {"jsonrpc": "2.0", "id": "late", "result": {}}
    assert busy.receive() is None
    busy.socket.close()
    assert server.event("stopped")["killed"] == 0
    assert server.process.wait(10) == 0


def test_drain_accepts_nobody(start_server: Any) -> None:
    server = start_server("--workers", "1", "--drain-s", "8")
    busy = server.connect()
    busy.send(b'{"jsonrpc":')
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    server.event("draining")
    server.wait_until(lambda: refuses(server.tcp))


def refuses(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return False
    except OSError:
        return True


def test_drain_is_bounded(start_server: Any) -> None:
    server = start_server("--workers", "1", "--drain-s", "0.5")
    server.connect().send(b'{"jsonrpc":')
    time.sleep(0.3)
    assert server.stop() == 0
    assert server.event("stopped")["uptime_s"] < 10


def test_second_signal_ends_a_drain(start_server: Any) -> None:
    server = start_server("--workers", "1", "--drain-s", "600")
    server.connect().send(b'{"jsonrpc":')
    time.sleep(0.3)
    server.process.send_signal(signal.SIGINT)
    server.event("draining")
    server.process.send_signal(signal.SIGINT)
    assert server.event("stopped")["killed"] == 1
    assert server.process.wait(10) == 0


def test_workers_end_with_their_parent(start_server: Any) -> None:
    server = start_server("--workers", "2")
    server.connect()
    server.process.kill()
    server.process.wait()
    server_gone = time.monotonic() + 10
    while not all(gone(pid) for pid in server.pids.values()):
        assert time.monotonic() < server_gone
        time.sleep(0.05)


def test_worker_that_never_starts_is_given_up(run_command: Any, tmp_path: Path) -> None:
    broken = "import os, sys\nif 'c100k_server.worker' in sys.orig_argv: os._exit(7)\n"
    (tmp_path / "sitecustomize.py").write_text(broken)
    ended = run_command(
        "serve", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", python_path=tmp_path
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "c100k-server: worker 0 did not start in 5 attempts: it exited with 7"
    assert "Traceback" not in ended.stderr


def test_app_that_cannot_be_imported_is_not_tried_again(run_command: Any) -> None:
    ended = run_command("serve", "nowhere:app", "--tcp", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1")
    assert ended.returncode == 1
    *events, sentence = ended.stderr.splitlines()
    assert [json.loads(event)["event"] for event in events] == ["worker_died"]
    expected = "c100k-server: cannot load nowhere:app: ModuleNotFoundError: No module named 'nowhere'"
    assert sentence == expected

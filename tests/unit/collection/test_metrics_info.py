"""What a host counts, by `ansible`: with a real server, generator, node_exporter and Prometheus."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from c100k import prometheus

from .conftest import AdHoc
from .processes import free_address, running, running_prometheus, wait_until

CONNECTIONS = 12
NOBODY = "http://127.0.0.1:1"

#: Counts that a moment does not change.
LASTING = (("memory", "total_bytes"), ("memory", "swap_total_bytes"), ("files", "limit"), ("cpu", "cores"))

Info = Callable[..., dict[str, Any]]


class Watched(NamedTuple):
    """A host with a server and a generator, and a Prometheus that scrapes them."""

    prometheus: str
    arguments: dict[str, str]
    server_pid: int


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, collection: Path) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("watched")
    clients, admin, status, node = (free_address() for _ in range(4))
    server = [sys.executable, "-m", "c100k_server", "serve", "--tcp", clients, "--admin", admin, "--workers", "1"]
    load = ["--connections", str(CONNECTIONS), "--rate", "20", "--ramp", "0", "--settle", "1", "--duration", "600"]
    generator = [sys.executable, "-m", "c100k_loadgen", "run", f"tcp://{clients}", *load, "--status", status]
    exporter = [prometheus.program("prometheus-node-exporter"), f"--web.listen-address={node}"]
    variables = yaml.safe_load((collection / "roles/monitoring/vars/main.yml").read_text())
    parameters = {"node": {"collect[]": variables["__monitoring_collectors"]}}
    scraped = [
        {
            "job_name": job,
            "params": parameters.get(job, {}),
            "static_configs": [{"targets": [address], "labels": {"run": "a run", "host": host}}],
        }
        for job, address, host in (
            ("c100k-server", admin, "node1"),
            ("c100k-loadgen", status, "node1"),
            ("node", node, "node1"),
            ("half", admin, "node2"),
        )
    ]
    configuration = {"global": {"scrape_interval": "1s"}, "scrape_configs": scraped}
    with ExitStack() as stack:
        process = stack.enter_context(running(server, directory, f"http://{admin}/metrics"))
        stack.enter_context(running([*generator, "--output", "load"], directory, f"http://{status}/status"))
        stack.enter_context(running(exporter, directory, f"http://{node}/metrics"))
        url = stack.enter_context(running_prometheus(directory, json.dumps(configuration)))
        everything = f"count(up == 1) == 4 and on () c100k_loadgen_connections == {CONNECTIONS}"
        wait_until(lambda: bool(prometheus.query(url, everything)))
        arguments = {"server_metrics": f"http://{admin}/metrics", "loadgen_metrics": f"http://{status}/metrics"}
        yield Watched(url, arguments, process.pid)


def unknown(host: dict[str, dict[str, Any]]) -> set[tuple[str, str]]:
    """The figures that nobody could tell, by group."""
    return {(group, name) for group, figures in host.items() for name, value in figures.items() if value is None}


@pytest.fixture
def info(ad_hoc: AdHoc, watched: Watched) -> Info:
    return lambda **given: ad_hoc("metrics_info", {**watched.arguments, **given})


def test_a_host_is_asked_directly(info: Info, watched: Watched) -> None:
    found = info(pids=[watched.server_pid, 2**22 + 1], commands=["c100k_loadgen run tcp://"])
    assert not found["changed"]
    assert found["sources"] == dict.fromkeys(("host", "server", "loadgen"), "direct")
    assert found["server"]["connections"] == found["loadgen"]["connections"] == CONNECTIONS
    assert found["server"]["messages_received_total"] > 0
    assert found["server"]['connections_closed_total{cause="reset"}'] == 0
    host = found["host"]
    # Both ends of each connection.
    assert host["sockets"]["used"] >= host["sockets"]["tcp_in_use"] >= 2 * CONNECTIONS
    assert host["memory"]["total_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < host["memory"]["available_bytes"] < host["memory"]["total_bytes"]
    assert host["cpu"]["cores"] == os.cpu_count()
    assert 0 < host["cpu"]["softirq_s"] < host["cpu"]["busy_s"] < host["cpu"]["total_s"]
    assert host["interrupts"]["packets_processed"] > 0
    assert host["listening"]["overflows"] <= host["listening"]["drops"]
    assert 0 < host["files"]["open"] < host["files"]["limit"]

    processes = {process["pid"]: process for process in found["processes"]}
    server = processes.pop(watched.server_pid)
    assert "-m c100k_server serve" in server["command"]
    assert processes
    assert all("c100k_loadgen run tcp://" in process["command"] for process in processes.values())
    for process in (server, *processes.values()):
        assert process["rss_bytes"] >= process["pss_bytes"] > 1 << 20
        assert process["threads"] >= 1
        assert process["open_files"] > 2


def test_prometheus_is_asked_first_and_tells_the_same(info: Info, watched: Watched) -> None:
    direct = info()
    # The host cannot have told it.
    seen = info(
        prometheus_url=watched.prometheus, prometheus_host="node1", server_metrics=NOBODY, loadgen_metrics=NOBODY
    )
    assert seen["sources"] == dict.fromkeys(("host", "server", "loadgen"), "prometheus")
    assert seen["server"].keys() == direct["server"].keys()
    assert seen["loadgen"].keys() == direct["loadgen"].keys()
    assert seen["server"]["connections"] == seen["loadgen"]["connections"] == CONNECTIONS
    assert seen["host"].keys() == direct["host"].keys()
    assert {name: group.keys() for name, group in seen["host"].items()} == {
        name: group.keys() for name, group in direct["host"].items()
    }
    assert [seen["host"][group][name] for group, name in LASTING] == [
        direct["host"][group][name] for group, name in LASTING
    ]
    assert unknown(seen["host"]) == unknown(direct["host"])


def test_the_host_is_asked_for_what_prometheus_does_not_know(info: Info, watched: Watched, ad_hoc: AdHoc) -> None:
    found = info(prometheus_url=watched.prometheus, prometheus_host="node2", loadgen_metrics=NOBODY)
    assert found["sources"] == {"host": "direct", "server": "prometheus", "loadgen": None}
    assert found["loadgen"] is None
    assert "WARNING" not in ad_hoc.stderr

    found = info(prometheus_url=watched.prometheus)
    assert found["sources"] == dict.fromkeys(("host", "server", "loadgen"), "direct")


def test_a_prometheus_that_does_not_answer_is_a_warning(info: Info, ad_hoc: AdHoc) -> None:
    found = info(prometheus_url=NOBODY)
    assert not found["failed"]
    assert found["sources"] == dict.fromkeys(("host", "server", "loadgen"), "direct")
    assert f"The figures of localhost come from itself: Prometheus at {NOBODY} does not answer" in ad_hoc.stderr


def test_only_what_is_wanted_is_read(info: Info, watched: Watched) -> None:
    for given in ({}, {"prometheus_url": watched.prometheus, "prometheus_host": "node1"}):
        found = info(parts=["server"], **given)
        assert found["host"] is found["loadgen"] is None
        assert found["sources"]["host"] is found["sources"]["loadgen"] is None
        assert found["server"]["connections"] == CONNECTIONS
        assert found["processes"] == []


def test_a_malformed_expression_is_told(info: Info) -> None:
    found = info(commands=["(server"])
    assert found["failed"]
    assert found["msg"].startswith("One of commands is no regular expression: missing )")


def test_a_command_line_that_only_asks_for_it_is_no_process(info: Info, tmp_path: Path) -> None:
    assert info(commands=[tmp_path.name])["processes"] == []

"""The dashboards are what their source says, and a real Prometheus has data for them from a real run."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from c100k import prometheus
from drawing import data

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS = ROOT / "dashboards"
NAMES = sorted(path.stem for path in DASHBOARDS.glob("*.json"))
RUN_ID = "20261124T101500Z-load"
DEADLINE_S = 60
SILENT = "A server does not answer"

#: What only a run with Redis has, in which names are looked up.
WITHOUT_REDIS = {"Time of an operation: {{host}}", "Time of a look-up: mean", "Look-ups: {{source}}"}


def panels(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DASHBOARDS / f"{name}.json").read_text())["panels"]
    return found


def queries() -> Iterator[tuple[str, str]]:
    """What each query of each panel is for, and the query."""
    for name in NAMES:
        for panel in panels(name):
            for target in panel["targets"]:
                yield f"{panel['title']}: {target.get('legendFormat', '')}", target["expr"]


def marks() -> Iterator[tuple[str, str]]:
    """The name of each annotation that Prometheus is asked for, and the query."""
    for name in NAMES:
        for annotation in json.loads((DASHBOARDS / f"{name}.json").read_text())["annotations"]["list"]:
            if annotation["datasource"]["type"] == "prometheus":
                assert annotation["target"]["expr"] == annotation["expr"]
                yield annotation["name"], annotation["expr"]


def test_they_are_what_their_source_says(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "source", str(tmp_path)], cwd=DASHBOARDS, check=True, timeout=60)
    built = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert built == {path.name: path.read_text() for path in DASHBOARDS.glob("*.json")}


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows(name: str) -> None:
    titles = [panel["title"] for panel in panels(name)]
    assert len(set(titles)) == len(titles)
    for panel in panels(name):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]


class Scraped:
    """One host with a server, a generator and node_exporter, and a Prometheus that watches them."""

    def __init__(self, folder: Path, running: ExitStack, collectors: list[str]) -> None:
        ports = [free_port() for _ in range(5)]
        server, admin, status, node, own = (f"127.0.0.1:{port}" for port in ports)
        self.url = f"http://{own}"
        self._folder, self._running = folder, running
        (folder / "plan.yml").write_text(yaml.safe_dump(plan(ports[0])))
        jobs = {"c100k-server": admin, "c100k-loadgen": status, "node": node}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(jobs, collectors)))
        exporter = prometheus.program("prometheus-node-exporter")
        ours = [sys.executable, "-m"]
        self._start([exporter, f"--web.listen-address={node}"])
        self.server = self._start([*ours, "c100k_server", "serve", "--tcp", server, "--admin", admin, "--workers", "1"])
        wait_for(f"http://{admin}/readyz")
        self._start([*ours, "c100k_loadgen", "run", "plan.yml", "--output", "out", "--status", status])
        flags = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={own}"]
        self._start([prometheus.program("prometheus"), *flags])
        wait_for(f"{self.url}/-/ready")

    def values(self, expression: str) -> list[float]:
        """What a query gives now, as a user sees it who has chosen this run, all hosts and all workers."""
        for variable, value in {"$run": RUN_ID, "$host": ".*", "$worker": ".*"}.items():
            expression = expression.replace(variable, value)
        return [sample.value for sample in prometheus.query(self.url, expression)]

    def without_data(self) -> set[str]:
        return {purpose for purpose, expression in queries() if not self.values(expression)}

    def marked(self) -> set[str]:
        """The annotations of this moment: Grafana takes those with a value above 0."""
        return {name for name, expression in marks() if any(value > 0 for value in self.values(expression))}

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        log = self._running.enter_context((self._folder / f"{len(list(self._folder.iterdir()))}.log").open("wb"))
        process = subprocess.Popen(command, cwd=self._folder, stdout=log, stderr=log)
        self._running.callback(process.wait, 20)
        self._running.callback(process.terminate)
        return process


def plan(port: int) -> dict[str, Any]:
    load = {"connections": 20, "rate_per_s": 20, "ramp_s": 2, "settle_s": 1, "hold_s": 2 * DEADLINE_S, "timeout_s": 5}
    target = {"name": "server", "address": "127.0.0.1", "port": port}
    about = {"schema_version": 1, "run_id": RUN_ID, "host": "here", "protocol": "2025-11-25", "transport": "tcp"}
    return {**about, **load, "targets": [target], "payload_bytes": 100, "workers": 1}


def configuration(jobs: dict[str, str], collectors: list[str]) -> dict[str, Any]:
    labels = {"run": RUN_ID, "host": "here"}
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(DASHBOARDS / "rules" / "*.yml")],
        "scrape_configs": [
            {
                "job_name": name,
                "params": {"collect[]": collectors} if name == "node" else {},
                "static_configs": [{"targets": [address], "labels": labels}],
            }
            for name, address in jobs.items()
        ],
    }


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < give_up_at, f"{url} does not answer"
            time.sleep(0.1)


@pytest.fixture
def scraped(tmp_path: Path, collectors: list[str]) -> Iterator[Scraped]:
    with ExitStack() as running:
        yield Scraped(tmp_path, running, collectors)


def test_every_query_has_data_in_a_run(scraped: Scraped, figures: str) -> None:
    give_up_at = time.monotonic() + DEADLINE_S
    while (missing := scraped.without_data()) != WITHOUT_REDIS and time.monotonic() < give_up_at:
        time.sleep(1)
    assert missing == WITHOUT_REDIS
    assert {"Hold", SILENT} & scraped.marked() == {"Hold"}
    kept = prometheus.query(scraped.url, figures.removesuffix("[1d]"))
    assert {(each.labels["__name__"], each.labels["job"]) for each in kept if each.value} == {
        ("process_cpu_seconds_total", "node"),
        ("c100k_server_metrics_cpu_seconds_total", "c100k-server"),
        ("c100k_loadgen_metrics_cpu_seconds_total", "c100k-loadgen"),
        *(("up", job) for job in ("c100k-server", "c100k-loadgen", "node")),
    }

    overview = json.loads((DASHBOARDS / "overview.json").read_text())
    drawing = data.drawing(overview, data.find(scraped.url, None))
    assert drawing["variables"] == {"run": RUN_ID, "host": "All"}
    assert data.without_data(drawing) == []

    scraped.server.kill()
    while SILENT not in scraped.marked() and time.monotonic() < give_up_at:
        time.sleep(1)
    assert SILENT in scraped.marked()

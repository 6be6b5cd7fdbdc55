"""Prometheus asks a real node_exporter for all that somebody looks at, and for nothing of which nobody does."""

from __future__ import annotations

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from c100k import prometheus

from .conftest import ROLE
from .test_dashboards import DASHBOARDS, free_port, wait_for

#: Dashboards, rules, what `metrics_info` reads, and what the report says of the watching.
READERS = (
    *DASHBOARDS.glob("*.json"),
    *DASHBOARDS.glob("rules/*.yml"),
    ROLE.parents[1] / "plugins/module_utils/host_figures.py",
    ROLE / "vars/main.yml",
)


def names(url: str, **parameters: list[str]) -> set[str]:
    """The names of all series that it has to offer."""
    with urllib.request.urlopen(f"{url}?{urlencode(parameters, doseq=True)}", timeout=10) as answer:
        return set(re.findall(r"^\w+", answer.read().decode(), re.MULTILINE))


@pytest.fixture
def exporter() -> Iterator[str]:
    address = f"127.0.0.1:{free_port()}"
    program = prometheus.program("prometheus-node-exporter")
    process = subprocess.Popen([program, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://{address}/metrics")
        yield f"http://{address}/metrics"
    finally:
        process.terminate()
        process.wait(20)


def test_no_more_and_no_less_is_asked_for_than_is_looked_at(exporter: str, collectors: list[str]) -> None:
    words = {word for reader in READERS for word in re.findall(r"\w+", reader.read_text())}
    looked_at = names(exporter) & words
    assert looked_at <= names(exporter, **{"collect[]": collectors})

    idle = {
        collector
        for collector in collectors
        if looked_at <= names(exporter, **{"collect[]": [each for each in collectors if each != collector]})
    }
    # A kernel need not track connections.
    assert idle <= {"conntrack"}

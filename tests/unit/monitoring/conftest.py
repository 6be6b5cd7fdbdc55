"""A real Prometheus, and how it is to ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from c100k import prometheus

ROLE = Path(__file__).resolve().parents[3] / "collections/ansible_collections/c100k/harness/roles/monitoring"


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool."""
    return prometheus.program("promtool")


@pytest.fixture(scope="session")
def collectors() -> list[str]:
    """The collectors of node_exporter that the role `monitoring` has asked."""
    found: list[str] = _variable("__monitoring_collectors")
    return found


@pytest.fixture(scope="session")
def figures() -> str:
    """What the role `monitoring` keeps with a run."""
    found: str = _variable("__monitoring_figures")
    return found


def _variable(name: str) -> Any:
    return yaml.safe_load((ROLE / "vars/main.yml").read_text())[name]

"""A real Prometheus."""

from __future__ import annotations

import pytest

from c100k import prometheus


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool."""
    return prometheus.program("promtool")

"""Prometheus: where its programs are."""

from __future__ import annotations

import os
import shutil

from c100k.errors import C100KError
from c100k.project import CACHE

#: Where `scripts/prometheus` puts the programs.
PROGRAMS = CACHE / "prometheus" / "usr" / "bin"


class PrometheusError(C100KError):
    """A program is missing."""


def program(name: str) -> str:
    """The path of `prometheus`, `promtool` or `prometheus-node-exporter`.

    Raises:
        PrometheusError: it is neither installed nor unpacked.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{PROGRAMS}")
    if found is None:
        raise PrometheusError(f"{name} is missing; run: scripts/prometheus .cache/prometheus")
    return found

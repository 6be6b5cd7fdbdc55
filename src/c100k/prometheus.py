"""Prometheus: where its programs are, and what it knows.

Its HTTP API is described at https://prometheus.io/docs/prometheus/latest/querying/api/.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from c100k.errors import C100KError
from c100k.project import CACHE

#: Where `scripts/prometheus` puts the programs.
PROGRAMS = CACHE / "prometheus" / "usr" / "bin"

ANSWER_LIMIT_S = 5.0

#: So much of an expression is quoted in a message.
_SHOWN_LENGTH = 80


class PrometheusError(C100KError):
    """A program is missing, or Prometheus does not answer as it should."""


@dataclass(frozen=True)
class Sample:
    """One series at one moment."""

    labels: dict[str, str]
    value: float


def program(name: str) -> str:
    """The path of `prometheus`, `promtool` or `prometheus-node-exporter`.

    Raises:
        PrometheusError: it is neither installed nor unpacked.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{PROGRAMS}")
    if found is None:
        raise PrometheusError(f"{name} is missing; run: scripts/prometheus .cache/prometheus")
    return found


def query(url: str, expression: str, at: float | None = None, answer_limit_s: float = ANSWER_LIMIT_S) -> list[Sample]:
    """What the PromQL `expression` gives at a moment, by default now; a scalar is one sample without labels.

    Raises:
        PrometheusError: nobody answers in time, or the expression is not valid.
    """
    asked = {"query": expression, "timeout": f"{answer_limit_s * 1000:.0f}ms"} | (
        {} if at is None else {"time": str(at)}
    )
    address = f"{url.rstrip('/')}/api/v1/query?{urllib.parse.urlencode(asked)}"
    shown = expression if len(expression) <= _SHOWN_LENGTH else f"{expression[:_SHOWN_LENGTH]}..."
    try:
        with urllib.request.urlopen(address, timeout=answer_limit_s) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise PrometheusError(f"Prometheus at {url} refuses {shown!r}: {_said(error)}") from None
    except (OSError, HTTPException, ValueError, KeyError, TypeError) as error:
        raise PrometheusError(f"Prometheus at {url} does not answer {shown!r}: {error}") from None
    if data["resultType"] == "scalar":
        return [Sample({}, float(data["result"][1]))]
    if data["resultType"] != "vector":
        raise PrometheusError(f"{shown!r} gives a {data['resultType']}; ask for numbers at one moment.")
    return [Sample(series["metric"], float(series["value"][1])) for series in data["result"]]


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError):
        return str(error)

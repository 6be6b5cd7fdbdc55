# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Series of Prometheus: read from its text format, and told by name.

A series is its name, its labels and its value.
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

from __future__ import annotations

import math
import re

#: Labels that Prometheus gives, which tell nothing about what a host counts.
GIVEN = frozenset({"__name__", "host", "instance", "job", "run"})

_SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def read(text):
    """The series of a text."""
    return [(name, dict(_LABEL.findall(labels)), number(float(value))) for name, labels, value in _SERIES.findall(text)]


def number(value):
    """Counts without a point."""
    return int(value) if value.is_integer() else value


def by_name(series, prefix):
    """Values by name without `prefix`, and by the labels of its own that a series has, as PromQL writes them.

    Buckets of histograms, and series that only carry labels, are left out.
    """
    found = {}
    for name, labels, value in series:
        if name.startswith(prefix) and not name.endswith(("_bucket", "_info")) and math.isfinite(value):
            own = ",".join(f'{label}="{text}"' for label, text in sorted(labels.items()) if label not in GIVEN)
            found[name.removeprefix(prefix) + (own and f"{{{own}}}")] = value
    return found

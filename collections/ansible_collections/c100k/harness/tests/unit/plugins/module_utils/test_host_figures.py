# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What the kernel of a host counts."""

from __future__ import annotations

import os

from ansible_collections.c100k.harness.plugins.module_utils import host_figures


def test_series_are_added_up_to_figures():
    told = host_figures.told(
        [
            ("node_sockstat_TCP_inuse", {}, 3),
            ("node_sockstat_TCP6_inuse", {}, 4),
            ("node_cpu_seconds_total", {"cpu": "0", "mode": "user"}, 5),
            ("node_cpu_seconds_total", {"cpu": "1", "mode": "softirq"}, 2),
            ("node_cpu_seconds_total", {"cpu": "1", "mode": "idle"}, 90),
            ("node_load1", {}, 0.5),
            ("node_of_another_kind", {}, 1),
        ]
    )

    assert told["sockets"]["tcp_in_use"] == 7
    assert told["sockets"]["used"] is None
    assert told["cpu"] == {"cores": 2, "busy_s": 7, "total_s": 97, "irq_s": None, "softirq_s": 2, "load_1m": 0.5}


def test_of_nothing_nothing_is_told():
    assert host_figures.told([]) is None


def test_this_host_counts():
    told = host_figures.told(host_figures.read())

    assert told["cpu"]["cores"] == os.cpu_count()
    assert told["cpu"]["busy_s"] < told["cpu"]["total_s"]
    assert told["memory"]["available_bytes"] < told["memory"]["total_bytes"]
    assert 0 < told["files"]["open"] < told["files"]["limit"]

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What `metrics_info` reads, which its module on the host and its action on the controller agree on."""

from __future__ import annotations

#: What the names of the metrics of a program begin with.
PREFIXES = {"server": "c100k_server_all_workers_", "loadgen": "c100k_loadgen_"}

PARTS = ["host", *PREFIXES]

ARGUMENTS = {
    "parts": {"type": "list", "elements": "str", "choices": PARTS, "default": PARTS},
    "server_metrics": {"type": "str", "default": "http://127.0.0.1:7001/metrics"},
    "loadgen_metrics": {"type": "str", "default": "http://127.0.0.1:7002/metrics"},
    "pids": {"type": "list", "elements": "int", "default": []},
    "commands": {"type": "list", "elements": "str", "default": []},
    "answer_limit_s": {"type": "float", "default": 2.0},
    "prometheus_url": {"type": "str"},
    "prometheus_host": {"type": "str"},
}

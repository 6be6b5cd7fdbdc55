#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `metrics_push`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: metrics_push
short_description: Push the results of a run into Prometheus
version_added: 0.1.0
description:
  - Reads C(run.json) of a run that was judged, and writes its figures, rules and verdict into a Prometheus, with the
    labels C(run) and C(scenario), as samples of the moment at which the run ended.
  - Prometheus must take what is written to it (C(--web.enable-remote-write-receiver)). It refuses samples that are more
    than about an hour older than its newest, unless C(out_of_order_time_window) of its configuration allows them.
  - Prometheus never changes a sample. When a run was judged anew since, and differs, the task fails.
author:
  - The c100k authors (@c100k)
options:
  run_dir:
    description: The run directory.
    type: path
    required: true
  prometheus_url:
    description: The Prometheus, as the controller sees it.
    type: str
    required: true
  answer_limit_s:
    description: Prometheus is given up after so many seconds.
    type: float
    default: 5.0
attributes:
  check_mode:
    description: Writes nothing, and says whether it would.
    support: full
  diff_mode:
    description: Shows a line for each series, before and after.
    support: full
seealso:
  - module: c100k.harness.sla_gate
"""

EXAMPLES = r"""
- name: Keep the results where those of other runs are
  c100k.harness.metrics_push:
    run_dir: runs/latest
    prometheus_url: http://prometheus.example.com:9090
  run_once: true
"""

RETURN = r"""
pushed:
  description: How many series Prometheus did not have.
  type: int
  returned: success
  sample: 214
at:
  description: The moment that the samples are of, in seconds since 1970.
  type: float
  returned: success
"""

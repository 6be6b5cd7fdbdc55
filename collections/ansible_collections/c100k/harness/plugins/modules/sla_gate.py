#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `sla_gate`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sla_gate
short_description: Hold rules against a run and against Prometheus
version_added: 0.1.0
description:
  - Evaluates rules over C(run.json) of a run that was judged, and over Prometheus, and fails unless the outcome is
    PASS.
  - PASS is when every rule holds, FAIL when one is broken.
  - INVALID is when nothing can be claimed, because a figure is missing, Prometheus does not answer or has no such
    series, the run's own verdict is INVALID, or no rule concerns the run.
  - It is for rules beside those of the run's own verdict, which M(c100k.harness.verdict) makes of its raw files.
author:
  - The c100k authors (@c100k)
options:
  rules:
    description: The rules, in the shape of C(c100k_sla).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What is judged, in words.
        type: str
        required: true
      metric:
        description: A figure of the run, as a path into C(run.json). Either this or O(rules[].promql).
        type: str
      promql:
        description:
          - An expression of PromQL. Where it gives several series, all of them must hold, and the worst is shown.
        type: str
      op:
        description: How the figure must relate to the limit.
        type: str
        choices: ["<", "<=", "==", ">=", ">"]
        required: true
      limit:
        description: A number, or a figure of the run as a path.
        type: raw
        required: true
      phase:
        description: The phase that is judged, for the reader.
        type: str
        default: hold
      scenarios:
        description: The scenarios that are judged by it; all, when empty. Without a run it concerns none of them.
        type: list
        elements: str
        default: []
      when:
        description: A setting of the run; where that is 0 there is nothing to judge.
        type: str
        default: ""
      faults:
        description: Kinds of faults, of which the run must have had one to be judged by it; any run, when empty.
        type: list
        elements: str
        default: []
  run_dir:
    description: The run directory. It must have been judged.
    type: path
  prometheus_url:
    description: The Prometheus that rules with O(rules[].promql) ask.
    type: str
  at:
    description:
      - The moment that Prometheus is asked about, in seconds since 1970. By default the end of the hold of the run, or
        now without a run.
    type: float
  answer_limit_s:
    description: Prometheus is given up after so many seconds.
    type: float
    default: 5.0
  fail:
    description: Whether the task fails unless the outcome is PASS.
    type: bool
    default: true
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
seealso:
  - module: c100k.harness.verdict
"""

EXAMPLES = r"""
- name: Let only good runs through
  c100k.harness.sla_gate:
    run_dir: runs/latest
    prometheus_url: http://127.0.0.1:9090
    rules:
      - {name: p95 latency, metric: latency_ms.p95, op: "<", limit: 80}
      - {name: memory a connection, metric: server.total.rss_per_connection_bytes, op: "<", limit: 16384}
      - name: alerts that fire
        promql: count(ALERTS{alertstate="firing"}) or vector(0)
        op: "=="
        limit: 0
  run_once: true

- name: See how far it is
  c100k.harness.sla_gate:
    run_dir: runs/latest
    rules: "{{ c100k_sla }}"
    fail: false
  run_once: true
  register: gate
"""

RETURN = r"""
verdict:
  description: PASS, FAIL or INVALID.
  type: str
  returned: always
reasons:
  description: Why it is not PASS, one sentence for each figure.
  type: list
  elements: str
  returned: always
  sample: ["p95 latency: latency_ms.p95 = 131.1 is not < 80"]
rules:
  description: The rules that concern the run, with what was found. An C(actual) of null is missing.
  type: list
  elements: dict
  returned: always
  sample:
    - name: p95 latency
      metric: latency_ms.p95
      phase: hold
      op: "<"
      limit: 80.0
      actual: 12.5
      samples: 3000000
      passed: true
      interval: {low: 12.1, high: 12.9}
"""

#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `watch`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: watch
short_description: Show the progress of a run until its generators are done
version_added: 0.1.0
description:
  - Asks every generator for its status once a second, merges the answers, and shows a line every few seconds.
  - Every answer is also written to C(progress.csv) and C(progress-hosts.csv) in the run directory, so that an
    interrupted run leaves what was seen, and the live view of C(c100k run) shows it.
author:
  - The c100k authors (@c100k)
options:
  run_dir:
    description: The run directory.
    type: path
    required: true
  endpoints:
    description: Where the generators serve their status.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the host.
        type: str
        required: true
      url:
        description: Address of its status.
        type: str
        required: true
  interval_s:
    description: Seconds between two lines.
    type: int
    default: 5
  return_at:
    description:
      - Returns at this moment, in seconds since 1970, even if generators still run, so that something can be done to
        them before they are watched on. By default when all are done.
      - Generators stop by themselves when nobody asks for their status for C(controller_timeout_s) of their plan.
    type: float
attributes:
  check_mode:
    description: Does nothing else than without it.
    support: none
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Watch the load
  c100k.harness.watch:
    run_dir: "{{ __c100k_run.path }}"
    endpoints:
      - {name: node1, url: "http://10.111.0.11:7002/status"}
  run_once: true
"""

RETURN = r"""
last:
  description: The last progress that was seen.
  type: dict
  returned: success
"""

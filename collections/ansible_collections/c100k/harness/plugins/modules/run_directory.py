#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `run_directory`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_directory
short_description: Make the directory of a new run
version_added: 0.1.0
description:
  - Makes C(<root>/<UTC>-<scenario>/) on the controller, writes the plan of the run into it and points C(latest) to it.
  - A directory that exists is never written to; the new one gets a number behind its name.
  - Malformed SLA and validity rules are refused here, before anything is measured.
author:
  - The c100k authors (@c100k)
options:
  scenario:
    description: Name of the scenario.
    type: str
    required: true
  root:
    description: Where run directories are kept.
    type: path
    required: true
  stamp:
    description: First half of the run id, C(20261123T101500Z). By default the time at which the task runs.
    type: str
  settings:
    description: All run-wide variables, among them C(c100k_sla) and C(c100k_validity).
    type: dict
    required: true
attributes:
  check_mode:
    description: Does nothing else than without it.
    support: none
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Make the run directory
  c100k.harness.run_directory:
    scenario: load
    root: runs
    settings: "{{ c100k_settings }}"
  run_once: true
  register: __c100k_run
"""

RETURN = r"""
run_id:
  description: Name of the directory.
  type: str
  returned: success
path:
  description: Path of the directory on the controller.
  type: str
  returned: success
"""

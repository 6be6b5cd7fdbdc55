#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `preflight`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Judge whether a run fits its hosts
version_added: 0.1.0
description:
  - Takes what M(c100k.harness.preflight_info) found on each host, prints one table, and fails with all problems at
    once.
  - Runs on the controller and connects to no host, so run it once.
author:
  - The c100k authors (@c100k)
options:
  results:
    description:
      - The result of M(c100k.harness.preflight_info) by host. A host that could not be reached, or that has no result,
        is a row of the table and a problem.
    type: dict
    required: true
  servers:
    description: The hosts that serve.
    type: list
    elements: str
    required: true
  loadgens:
    description: The hosts that generate load.
    type: list
    elements: str
    required: true
  connections:
    description: Connections over all hosts.
    type: int
    required: true
  clock_offset_max_s:
    description: How far a host's clock may be off the controller's.
    type: float
    default: 0.1
attributes:
  check_mode:
    description: Only judges, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
seealso:
  - module: c100k.harness.preflight_info
"""

EXAMPLES = r"""
- name: Judge whether 100,000 connections fit
  c100k.harness.preflight:
    results:
      node1: "{{ hostvars.node1.__preflight_info }}"
    servers: "{{ groups['servers'] }}"
    loadgens: "{{ groups['loadgens'] }}"
    connections: 100000
  run_once: true
"""

RETURN = r"""
msg:
  description: What keeps the run from fitting, one sentence a line.
  returned: failure
  type: str
"""

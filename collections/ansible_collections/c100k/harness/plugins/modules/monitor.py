#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `monitor`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: monitor
short_description: Show what servers and generators count, each second
version_added: 0.1.0
description:
  - Asks every server for its metrics and every generator for its status, and shows their own counts.
  - A generator that is asked takes it that someone is there, and goes on.
author:
  - The c100k authors (@c100k)
options:
  servers:
    description: Where the servers show their metrics.
    type: list
    elements: dict
    required: true
    suboptions: &endpoint
      name:
        description: Name of the host.
        type: str
        required: true
      url:
        description: The address.
        type: str
        required: true
  loadgens:
    description: Where the generators show their status.
    type: list
    elements: dict
    required: true
    suboptions: *endpoint
  times:
    description: How often. With 0, until it is interrupted.
    type: int
    default: 0
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Show two seconds
  c100k.harness.monitor:
    servers:
      - {name: node1, url: "http://10.111.0.11:7001/metrics"}
    loadgens:
      - {name: node1, url: "http://10.111.0.11:7002/status"}
    times: 2
"""

RETURN = r"""
"""

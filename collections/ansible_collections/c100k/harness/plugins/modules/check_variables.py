#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `check_variables`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: check_variables
short_description: Refuse mistyped variables
version_added: 0.1.0
description:
  - Holds every variable that begins like one of this collection's roles against what the roles declare in their
    C(meta/argument_specs.yml), for all hosts of the inventory, and fails with one sentence for each that none declares
    or that is of another type.
  - A variable that is given on the command line and only resembles a declared one is refused too.
  - Runs on the controller and connects to no host, so run it once.
author:
  - The c100k authors (@c100k)
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Refuse mistyped variables
  c100k.harness.check_variables:
  run_once: true
"""

RETURN = r"""
msg:
  description: What is wrong, one sentence a line.
  returned: failure
  type: str
  sample: c100k_conections (set for node1) is not a variable of c100k.harness; did you mean c100k_connections?
"""

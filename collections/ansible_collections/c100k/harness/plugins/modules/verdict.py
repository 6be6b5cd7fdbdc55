#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `verdict`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict
short_description: Judge a run from its raw files
version_added: 0.1.0
description:
  - Computes C(run.json), C(report.html), C(junit.xml) and the summaries of a run directory, and shows the summary.
  - The task fails unless the verdict is PASS.
author:
  - The c100k authors (@c100k)
options:
  run_dir:
    description: The run directory.
    type: path
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
- name: Judge the run
  c100k.harness.verdict:
    run_dir: "{{ __c100k_run.path }}"
  run_once: true
"""

RETURN = r"""
verdict:
  description: PASS, FAIL or INVALID.
  type: str
  returned: always
reasons:
  description: Why the verdict is not PASS.
  type: list
  elements: str
  returned: always
"""

#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `run_warning`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_warning
short_description: Keep with a run what went wrong beside it
version_added: 0.1.0
description:
  - Adds a sentence to C(warnings.jsonl) in the run directory, and shows it. When the run was judged already, it is
    added to C(run.json), the report and the summaries, too. No verdict is made of it.
author:
  - The c100k authors (@c100k)
options:
  run_dir:
    description: The run directory on the controller.
    type: path
    required: true
  message:
    description: What went wrong.
    type: str
    required: true
attributes:
  check_mode:
    description: Only shows it.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Say that nobody has watched
  c100k.harness.run_warning:
    run_dir: "{{ __c100k_run.path }}"
    message: The run was not watched by Prometheus, which could not be started.
  run_once: true
"""

RETURN = r"""
"""

#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `rate_search`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rate_search
short_description: Say which rates the next run of a search tries
version_added: 0.1.0
description:
  - Reads C(run.json) of the runs of a search, and says which stages the next one has, and which stages confirm what
    was found.
  - The first run goes through O(rates), the next one in finer steps between the last rate that kept to the SLA and
    the first that did not; above all of them when all did, and below when none did.
author:
  - The c100k authors (@c100k)
options:
  runs:
    description: The run directories of the search so far, which may be none.
    type: list
    elements: path
    required: true
  rates:
    description: The rates of the first run, in messages a second.
    type: list
    elements: int
    required: true
  stage_s:
    description: Seconds for which each rate is judged.
    type: int
    required: true
  settle_s:
    description: Seconds before, in which it is not.
    type: int
    required: true
  confirm_s:
    description: Seconds of each stage that confirms a rate.
    type: int
    required: true
  keep_in:
    description: A run directory that is to have the figures of all rates so far, as C(searched.csv).
    type: path
attributes:
  check_mode:
    description: Does nothing else than without it.
    support: none
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Plan the second run of the search
  c100k.harness.rate_search:
    runs: ["{{ __c100k_run.path }}"]
    rates: [10000, 20000, 30000]
    stage_s: 20
    settle_s: 5
    confirm_s: 60
  register: __search
"""

RETURN = r"""
runs:
  description: The run directories that were given.
  type: list
  elements: str
  returned: success
found_per_s:
  description: The highest rate that kept to the SLA, as every lower one did; 0 when there is none.
  type: int
  returned: success
next:
  description: The stages of the next run, for C(c100k_stages); none when there is no rate left to try.
  type: list
  elements: dict
  returned: success
confirmation:
  description: The stages that confirm what was found; none when nothing was.
  type: list
  elements: dict
  returned: success
longest_s:
  description: The longest hold that any run of this search has.
  type: int
  returned: success
"""

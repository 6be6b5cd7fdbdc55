#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `grafana_annotation`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_annotation
short_description: Put the phases and faults of a run on Grafana's time line
version_added: 0.1.0
description:
  - Reads C(run.json) and C(faults.jsonl) of a run that was judged, and speaks with Grafana from the controller.
  - Each annotation has the tags C(c100k), C(run:RUN), and C(phase), or C(fault) and C(host:HOST). Dashboards that ask
    for annotations with these tags show them.
  - Phases and faults that Grafana has of this run, and that the run has not, are removed. Notes that people have made,
    which have neither the tag C(phase) nor C(fault), are left alone.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.grafana
options:
  run_dir:
    description: The run directory. To remove annotations only its name is needed.
    type: path
    required: true
  dashboard_uid:
    description: The only dashboard that shows them. By default all that ask for their tags do.
    type: str
    default: ""
attributes:
  diff_mode:
    description: Shows a line for each annotation, before and after.
    support: full
seealso:
  - module: c100k.harness.grafana_dashboard
"""

EXAMPLES = r"""
- name: Show when the phases of the run were, and when hosts died
  c100k.harness.grafana_annotation:
    url: https://grafana.example.com
    token: "{{ grafana_token }}"
    run_dir: runs/latest
  run_once: true
"""

RETURN = r"""
added:
  description: How many annotations were missing.
  type: int
  returned: success
removed:
  description: How many there were too many.
  type: int
  returned: success
"""

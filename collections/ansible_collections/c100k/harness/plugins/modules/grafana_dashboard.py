#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `grafana_dashboard`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_dashboard
short_description: Put a dashboard into Grafana, or remove it
version_added: 0.1.0
description:
  - Speaks with Grafana from the controller, by its HTTP API as Grafana 11 and 12 have it.
  - A dashboard is found by its uid. It is saved only when it differs from what was given. What was not given, and the
    C(id), C(version) and C(schemaVersion), which Grafana keeps itself, are not compared.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.grafana
options:
  dashboard:
    description: The model of the dashboard. Either this or O(path), unless it is to be O(state=absent).
    type: dict
  path:
    description: A JSON file on the controller with the model.
    type: path
  uid:
    description: The uid of the dashboard. By default that of its model.
    type: str
  folder:
    description:
      - The title of the folder at the root that it is to be in, which is made when it is missing. An empty one is the
        root itself.
      - By default it stays where it is, and a new one goes to the root.
    type: str
  message:
    description: What Grafana shows beside the new version.
    type: str
    default: by c100k.harness.grafana_dashboard
attributes:
  diff_mode:
    description: Shows folder and model, before and after.
    support: full
seealso:
  - module: c100k.harness.grafana_annotation
"""

EXAMPLES = r"""
- name: Put a dashboard into Grafana
  c100k.harness.grafana_dashboard:
    url: https://grafana.example.com
    token: "{{ grafana_token }}"
    path: dashboards/overview.json
    folder: c100k
  run_once: true

- name: Remove it
  c100k.harness.grafana_dashboard:
    url: https://grafana.example.com
    token: "{{ grafana_token }}"
    uid: c100k-overview
    state: absent
  run_once: true
"""

RETURN = r"""
uid:
  description: The uid of the dashboard.
  type: str
  returned: success
  sample: c100k-overview
"""

#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `grafana_data_source`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: grafana_data_source
short_description: Make a Prometheus a data source of Grafana, or remove it from there
version_added: 0.1.0
description:
  - Speaks with Grafana from the controller, by its HTTP API as Grafana 11 and 12 have it.
  - A data source is found by its uid, and saved only when it differs from what was given.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.grafana
options:
  prometheus_url:
    description: The Prometheus, as Grafana's server sees it. Needed with O(state=present).
    type: str
  name:
    description: What people call it.
    type: str
    default: c100k
  uid:
    description: What Grafana finds it by.
    type: str
    default: c100k
  scrape_interval_s:
    description: Seconds between two samples of the Prometheus, so that Grafana does not ask for more.
    type: int
    default: 5
attributes:
  diff_mode:
    description: Shows what Grafana knows of it, before and after.
    support: full
seealso:
  - module: c100k.harness.grafana_dashboard
"""

EXAMPLES = r"""
- name: Let Grafana ask this Prometheus
  c100k.harness.grafana_data_source:
    url: https://grafana.example.com
    token: "{{ grafana_token }}"
    prometheus_url: http://prometheus.example.com:9090
  run_once: true
"""

RETURN = r"""
uid:
  description: The uid of the data source.
  type: str
  returned: success
  sample: c100k
"""

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""The options of all modules that speak with Grafana."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  state:
    description: Whether Grafana has it.
    type: str
    choices: [present, absent]
    default: present
  url:
    description: Where Grafana answers.
    type: str
    required: true
  token:
    description: The token of a service account. Either this, or O(username) with O(password).
    type: str
  username:
    description: The name of a user.
    type: str
  password:
    description: Its password.
    type: str
  answer_limit_s:
    description: Grafana is given up when an answer takes so many seconds.
    type: float
    default: 10.0
attributes:
  check_mode:
    description: Changes nothing in Grafana, and says whether it would.
    support: full
"""

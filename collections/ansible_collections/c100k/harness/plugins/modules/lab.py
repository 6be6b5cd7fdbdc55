#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `lab`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lab
short_description: Bring the lab hosts up or down
version_added: 0.1.0
description:
  - Starts systemd-nspawn machines on the controller, which must be Linux and root, or removes all that is left of them.
  - A lab that was killed half-way is repaired by either.
  - Runs on the controller, and tells what it does while it does it.
author:
  - The c100k authors (@c100k)
options:
  name:
    description: The name of the lab. Labs of different names and subnets can be up side by side.
    type: str
    default: c100k
  subnet:
    description: The addresses of the lab. The controller has the first, the hosts have those from the eleventh on.
    type: str
    default: 10.111.0.0/24
  hosts:
    description: The names of the hosts.
    type: list
    elements: str
    default: [node1, node2, node3, node4]
  state:
    description: Whether the lab is up or gone.
    type: str
    choices: [present, absent]
    default: present
attributes:
  check_mode:
    description: Tells whether something would change, and changes nothing.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Bring the lab up
  c100k.harness.lab:
    state: present
  delegate_to: localhost

- name: Remove the lab
  c100k.harness.lab:
    state: absent
  delegate_to: localhost
"""

RETURN = r"""
hosts:
  description: The hosts by name, with their addresses.
  returned: when present
  type: dict
  sample:
    node1: 10.111.0.11
ssh_config:
  description: The file for C(ssh -F) with which the hosts are reached.
  returned: when present
  type: str
  sample: /var/lib/c100k/lab/c100k/ssh_config
"""

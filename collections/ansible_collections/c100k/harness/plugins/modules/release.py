#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Documentation of the action plugin `release`, which does the work on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Build the wheels of a package
version_added: 0.1.0
description:
  - Builds a tar with the wheels of one of this project's packages and of all that it depends on, unless it is there.
  - Runs on the controller. Each host asks for the wheels that fit its own Python and machine type.
author:
  - The c100k authors (@c100k)
options:
  package:
    description: The package.
    type: str
    choices: [server, loadgen]
    required: true
  python:
    description: The host's version of Python.
    type: str
    default: "3.11"
  machine:
    description: The host's machine type.
    type: str
    default: x86_64
attributes:
  check_mode:
    description: Builds into the controller's cache in check mode too, because the version must be known.
    support: none
  diff_mode:
    description: There is no difference to show.
    support: none
"""

EXAMPLES = r"""
- name: Build the server's wheels
  c100k.harness.release:
    package: server
    python: "3.11"
    machine: x86_64
  register: built
"""

RETURN = r"""
path:
  description: The tar on the controller.
  returned: success
  type: str
  sample: /home/me/c100k/.cache/releases/c100k-server-0.1.0+1f3a9c02be71-cp311-x86_64.tar
version:
  description: The version, which names the content.
  returned: success
  type: str
  sample: 0.1.0+1f3a9c02be71
"""

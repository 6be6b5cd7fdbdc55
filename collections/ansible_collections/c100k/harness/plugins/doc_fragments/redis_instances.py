# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Options of all modules that speak to the instances of a Redis Cluster."""

from __future__ import annotations


class ModuleDocFragment:
    """What `module_utils.redis_instances.ARGUMENTS` takes."""

    DOCUMENTATION = r"""
options:
  hosts:
    description: The hosts, in the order of the ring.
    type: list
    elements: dict
    required: true
    suboptions:
      host:
        description: What the host is called in messages and results.
        type: str
        required: true
      address:
        description: The IP address that its instances announce.
        type: str
        required: true
  ports:
    description: The ports of the instances of each host, that of the master first.
    type: list
    elements: int
    required: true
  username:
    description: An account that may use all commands.
    type: str
    default: default
  password:
    description: Its password. Without one, no authentication is tried.
    type: str
"""

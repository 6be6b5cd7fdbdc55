#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""The keys of a Redis Cluster that begin alike."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_keys
short_description: Remove the keys of a Redis Cluster that begin alike
version_added: 0.1.0
description:
  - Removes every key that begins with O(prefix) from all masters of a Redis Cluster, and no other.
  - Run it once, on any host that reaches all instances, while nobody writes such keys.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.redis_instances
options:
  prefix:
    description: What the names of the keys begin with.
    type: str
    required: true
  state:
    description: The keys are to be gone.
    type: str
    choices: [absent]
    default: absent
attributes:
  check_mode:
    description: Counts the keys, and removes none.
    support: full
  diff_mode:
    description: There is no difference to show.
    support: none
seealso:
  - module: c100k.harness.redis_cluster
"""

EXAMPLES = r"""
- name: Remove the sessions of the last run
  c100k.harness.redis_keys:
    hosts:
      - {host: alpha, address: 192.0.2.11}
      - {host: beta, address: 192.0.2.12}
      - {host: gamma, address: 192.0.2.13}
    ports: [7010, 7011]
    prefix: "c100k:"
    username: operator
    password: "{{ operator_password }}"
  run_once: true
"""

RETURN = r"""
keys:
  description: How many keys were removed (in check mode, would be).
  returned: success
  type: int
  sample: 4096
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.c100k.harness.plugins.module_utils.redis_instances import ARGUMENTS
from ansible_collections.c100k.harness.plugins.module_utils.resp import Connection, RespError

# Each answer of SCAN is one batch, which is removed in one round trip.
BATCH = 1000


def remove(connection, prefix, check_mode):
    """Remove the keys of one master, and return how many there were."""
    pattern = re.sub(r"([\\*?\[\]^])", r"\\\1", prefix) + "*"
    found, cursor = set(), "0"
    while True:
        cursor, names = connection.call("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH)
        found.update(names)
        if names and not check_mode:
            # One command a key: keys of different slots may not share one.
            connection.pipeline([("UNLINK", name) for name in names])
        if cursor == "0":
            return len(found)


def main():
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            # A prefix is no secret, whatever the names of the keys are like.
            "prefix": {"type": "str", "required": True, "no_log": False},
            "state": {"type": "str", "choices": ["absent"], "default": "absent"},
        },
        supports_check_mode=True,
    )
    given = module.params
    if not given["prefix"]:
        module.fail_json(msg="The prefix is empty, and all keys of everybody begin with that.")
    keys = 0
    for host in given["hosts"]:
        for port in given["ports"]:
            try:
                with Connection(host["address"], port, given["username"], given["password"]) as connection:
                    if connection.call("ROLE")[0] == "master":
                        keys += remove(connection, given["prefix"], module.check_mode)
            except (OSError, RespError) as error:
                module.fail_json(msg=f"{host['host']}:{port} could not be emptied: {error}")
    module.exit_json(changed=keys > 0, keys=keys)


if __name__ == "__main__":
    main()

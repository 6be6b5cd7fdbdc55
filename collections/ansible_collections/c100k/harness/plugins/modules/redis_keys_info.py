#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""How many keys of a Redis Cluster begin alike, and what they take."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_keys_info
short_description: Count the keys of a Redis Cluster that begin alike, and what they take
version_added: 0.1.0
description:
  - Looks at every key that begins with one of O(prefixes), on all masters of a Redis Cluster, and asks Redis what it
    takes.
  - Run it once, on any host that reaches all instances.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.redis_instances
options:
  prefixes:
    description: What the names of the keys begin with.
    type: list
    elements: str
    required: true
attributes:
  check_mode:
    description: It only reads.
    support: full
  diff_mode:
    description: It changes nothing.
    support: none
seealso:
  - module: c100k.harness.redis_keys
"""

EXAMPLES = r"""
- name: See what names take
  c100k.harness.redis_keys_info:
    hosts:
      - {host: alpha, address: 192.0.2.11}
      - {host: beta, address: 192.0.2.12}
      - {host: gamma, address: 192.0.2.13}
    ports: [7010, 7011]
    prefixes: ["c100k:r:", "c100k:names:"]
    username: operator
    password: "{{ operator_password }}"
  run_once: true
  register: names
"""

RETURN = r"""
prefixes:
  description: The keys of all masters together, in the order of O(prefixes).
  returned: success
  type: list
  elements: dict
  sample:
    - {prefix: "c100k:r:", keys: 4096, bytes: 983040}
    - {prefix: "c100k:names:", keys: 16, bytes: 356352}
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.c100k.harness.plugins.module_utils.redis_instances import ARGUMENTS
from ansible_collections.c100k.harness.plugins.module_utils.resp import Connection, RespError

# Each answer of SCAN is one batch, which is measured in one round trip.
BATCH = 1000


def measure(connection, prefix):
    """The keys of one master, and the bytes that they take."""
    pattern = re.sub(r"([\\*?\[\]^])", r"\\\1", prefix) + "*"
    sizes, cursor = {}, "0"
    while True:
        cursor, names = connection.call("SCAN", cursor, "MATCH", pattern, "COUNT", BATCH)
        # All members of large keys are looked at: an average of some is off where they differ.
        measured = connection.pipeline([("MEMORY", "USAGE", name, "SAMPLES", 0) for name in names]) if names else []
        # A key that has ended meanwhile takes nothing. SCAN may name one twice.
        sizes.update((name, size) for name, size in zip(names, measured, strict=True) if size is not None)
        if cursor == "0":
            return len(sizes), sum(sizes.values())


def main():
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "prefixes": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    given = module.params
    found = [{"prefix": prefix, "keys": 0, "bytes": 0} for prefix in given["prefixes"]]
    for host in given["hosts"]:
        for port in given["ports"]:
            try:
                with Connection(host["address"], port, given["username"], given["password"]) as connection:
                    if connection.call("ROLE")[0] == "master":
                        for each in found:
                            keys, size = measure(connection, each["prefix"])
                            each["keys"] += keys
                            each["bytes"] += size
            except (OSError, RespError) as error:
                module.fail_json(msg=f"The keys of {host['host']}:{port} could not be measured: {error}")
    module.exit_json(changed=False, prefixes=found)


if __name__ == "__main__":
    main()

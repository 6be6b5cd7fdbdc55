#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What a Redis Cluster is like, and what it lacks."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster_info
short_description: Read a Redis Cluster and tell what it lacks
version_added: 0.1.0
description:
  - Asks every instance, and changes nothing.
  - A cluster is complete when every node agrees on nodes, slots and epochs, all 16384 slots are served, and every
    replica is connected, has caught up, and stands on another host than its master.
  - An instance that does not answer is a problem, not an error.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.redis_instances
options:
  bus_offset:
    description: What is added to a port for the cluster bus.
    type: int
    default: 10000
attributes:
  check_mode:
    description: Only reads, so it does the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so there is no difference to show.
    support: none
seealso:
  - module: c100k.harness.redis_cluster
"""

EXAMPLES = r"""
- name: Read the cluster
  c100k.harness.redis_cluster_info:
    hosts:
      - {host: alpha, address: 192.0.2.11}
      - {host: beta, address: 192.0.2.12}
      - {host: gamma, address: 192.0.2.13}
    ports: [7010, 7011]
    bus_offset: 10
  run_once: true
  register: state
"""

RETURN = r"""
complete:
  description: Whether there is no problem.
  returned: success
  type: bool
problems:
  description: What the cluster lacks, one sentence each.
  returned: success
  type: list
  elements: str
  sample: ["node2:7010 does not answer: [Errno 111] Connection refused."]
misplaced:
  description: The steps that M(c100k.harness.redis_cluster) would take.
  returned: success
  type: list
  elements: str
  sample: ["node2:7010 is promoted to master"]
cluster:
  description: What the instances say that answer.
  returned: success
  type: dict
  sample:
    versions: ["7.0.15"]
    current_epoch: 8
    slots_covered: 16384
    settings: {appendonly: "yes", cluster-node-timeout: "1500"}
    nodes:
      - host: node1
        address: 10.111.0.11
        port: 7010
        role: master
        master: null
        slots: 4096
        config_epoch: 1
        link_up: null
        offset: 1540
        keys: 0
        used_memory_bytes: 2113704
        rss_bytes: 12931072
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.c100k.harness.plugins.module_utils import cluster_plan, cluster_view
from ansible_collections.c100k.harness.plugins.module_utils.redis_instances import ARGUMENTS


def main():
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "bus_offset": {"type": "int", "default": 10000},
        },
        supports_check_mode=True,
    )
    given = module.params
    wanted, impossible = cluster_plan.layout(given["hosts"], given["ports"], given["bus_offset"])
    if impossible:
        module.fail_json(msg="\n".join(impossible))
    view = cluster_view.Reader(given["username"], given["password"]).read(wanted.instances)
    problems = cluster_view.problems(view)
    # Where somebody is away, nobody can say what is to be done.
    misplaced = [] if view.unreachable else cluster_plan.plan(view, wanted).sentences()
    module.exit_json(
        changed=False,
        complete=not problems,
        problems=problems,
        misplaced=misplaced,
        cluster=cluster_view.facts(view),
    )


if __name__ == "__main__":
    main()

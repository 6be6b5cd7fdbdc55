#!/usr/bin/python
# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""A Redis Cluster in which a dead host costs no slot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster
short_description: Form, extend and mend a Redis Cluster
version_added: 0.1.0
description:
  - Brings running Redis (or Valkey) instances into one cluster, with a master on every host and its replicas on others.
  - The first port of a host is its master's. The second port of the next host replicates it, the third port (where
    there is one) of the host after that.
  - Hosts that are new get a master, replicas and their share of the slots, while clients go on. They belong at the end
    of O(hosts), which moves the fewest replicas.
  - A master whose place a replica has taken is promoted again as soon as it is in sync. A replica that shares a host
    with its master moves. A node that was installed anew takes the place of the lost one.
  - Refuses what would destroy something, such as taking out a host, or bringing in an instance that holds keys.
  - Ends when every node agrees on nodes, slots and epochs, all slots are served, and every replica is in sync.
  - Run it once, on any host that reaches all instances.
author:
  - The c100k authors (@c100k)
extends_documentation_fragment:
  - c100k.harness.redis_instances
options:
  bus_offset:
    description: What is added to a port for the cluster bus.
    type: int
    default: 10000
  timeout_s:
    description: Seconds that all may take.
    type: float
    default: 60
attributes:
  check_mode:
    description: Tells the steps, and takes none. The instances must run, as without check mode.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
seealso:
  - module: c100k.harness.redis_cluster_info
"""

EXAMPLES = r"""
- name: Form a cluster of three hosts
  c100k.harness.redis_cluster:
    hosts:
      - {host: alpha, address: 192.0.2.11}
      - {host: beta, address: 192.0.2.12}
      - {host: gamma, address: 192.0.2.13}
    ports: [7010, 7011]
    bus_offset: 10
    username: operator
    password: "{{ operator_password }}"
  run_once: true
"""

RETURN = r"""
steps:
  description: What was done (in check mode, would be done), in order. Empty when all was as it should be.
  returned: success
  type: list
  elements: str
  sample: ["node5:7010 joins the cluster"]
cluster:
  description: The cluster afterwards, as M(c100k.harness.redis_cluster_info) returns it.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.c100k.harness.plugins.module_utils import cluster_plan, cluster_view
from ansible_collections.c100k.harness.plugins.module_utils.cluster_steps import Cluster, NotReachedError
from ansible_collections.c100k.harness.plugins.module_utils.redis_instances import ARGUMENTS
from ansible_collections.c100k.harness.plugins.module_utils.resp import RespError

# A step can bring to light what another one hid; more than this means that somebody works against us.
ROUNDS = 4


def converge(module, cluster, wanted):
    """Plan and act until there is nothing left to do, and return the steps with the last view."""
    taken = []
    for _round in range(ROUNDS):
        view = cluster.wait("That all instances answer and agree", cluster.settled)
        refusals = cluster_plan.refusals(view, wanted)
        if refusals:
            module.fail_json(msg="\n".join(refusals), steps=taken)
        plan = cluster_plan.plan(view, wanted)
        sentences = plan.sentences()
        taken += sentences
        if not sentences or module.check_mode:
            return taken, view
        cluster.carry_out(plan)
    module.fail_json(
        msg=f"After {ROUNDS} rounds there is still something to do; does somebody else change the cluster?"
    )


def main():
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "bus_offset": {"type": "int", "default": 10000},
            "timeout_s": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    given = module.params
    wanted, impossible = cluster_plan.layout(given["hosts"], given["ports"], given["bus_offset"])
    if impossible:
        module.fail_json(msg="\n".join(impossible))
    reader = cluster_view.Reader(given["username"], given["password"])
    cluster = Cluster(reader, wanted.instances, given["timeout_s"])
    try:
        steps, view = converge(module, cluster, wanted)
        if not module.check_mode:
            view = cluster.wait("A complete cluster", cluster_view.problems)
    except NotReachedError as error:
        module.fail_json(msg=str(error))
    except (OSError, RespError) as error:
        module.fail_json(msg=f"A step failed, and running this again goes on from there: {error}")
    diff = {"prepared": "".join(f"+ {step}\n" for step in steps)}
    module.exit_json(changed=bool(steps), steps=steps, cluster=cluster_view.facts(view), diff=diff)


if __name__ == "__main__":
    main()

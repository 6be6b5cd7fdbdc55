# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Make the directory of a new run on the controller."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import rules, run_directory


class ActionModule(ControllerAction):
    """Writes what the run is asked to do before anything is measured, and refuses rules that could not be judged."""

    ARGUMENTS = {
        "scenario": {"type": "str", "required": True},
        "root": {"type": "path", "required": True},
        "stamp": {"type": "str"},
        "settings": {"type": "dict", "required": True},
    }

    def act(self, arguments, task_vars):
        settings = json.loads(json.dumps(arguments["settings"]))
        plan = {
            "scenario": str(arguments["scenario"]),
            "created_at": time.time(),
            "substrate": settings["c100k_substrate"],
            "protocol": settings["c100k_protocol"],
            "transport": settings["c100k_transport"],
            "connection": settings["c100k_connection"],
            "hosts": json.loads(json.dumps(_hosts(task_vars))),
            "sla": settings.pop("c100k_sla"),
            "validity": settings.pop("c100k_validity"),
            "settings": settings,
        }
        run_id = f"{arguments['stamp'] or run_directory.new_stamp()}-{plan['scenario']}"
        rules.parse(plan["sla"], "c100k_sla", settings)
        rules.parse(plan["validity"], "c100k_validity", settings)
        made = run_directory.create(Path(str(arguments["root"])), run_id, plan)
        return {"changed": True, "run_id": made.run_id, "path": str(made.path)}


def _hosts(task_vars):
    """Every host that serves or generates, with the groups that say which, and the address its peers use."""
    groups = {name: task_vars["groups"].get(name, []) for name in ("servers", "loadgens", "state", "monitoring")}
    found = []
    for name in dict.fromkeys([*groups["servers"], *groups["loadgens"]]):
        variables = task_vars["hostvars"][name]
        address = variables.get("c100k_address") or variables.get("ansible_host") or name
        found.append(
            {
                "name": name,
                "address": address,
                "groups": [group for group, members in groups.items() if name in members],
            }
        )
    return found

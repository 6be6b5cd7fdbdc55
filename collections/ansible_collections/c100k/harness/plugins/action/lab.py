# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Brings the lab hosts up or down. An action, not a module: building the image takes a while, and must say so."""

from __future__ import annotations

import contextlib

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import lab

UNTOUCHED = {"present": "up", "absent": "down"}


class ActionModule(ControllerAction):
    _supports_check_mode = True
    ARGUMENTS = {
        "name": {"type": "str", "default": "c100k"},
        "subnet": {"type": "str", "default": "10.111.0.0/24"},
        "hosts": {"type": "list", "elements": "str", "default": ["node1", "node2", "node3", "node4"]},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }

    def act(self, arguments, task_vars):
        config = lab.LabConfig(name=arguments["name"], subnet=arguments["subnet"], nodes=tuple(arguments["hosts"]))
        results = {"changed": lab.status(config).state != UNTOUCHED[arguments["state"]]}
        if not self._task.check_mode:
            change = lab.up if arguments["state"] == "present" else lab.down
            change(config, self._display.display)
        if arguments["state"] == "present":
            results["hosts"] = {node: str(config.address(node)) for node in config.nodes}
            results["ssh_config"] = str(config.ssh_config)
        return results

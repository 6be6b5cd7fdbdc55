# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Brings the lab hosts up or down. An action, not a module: building the image takes a while, and must say so."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

try:
    from c100k import lab
    from c100k.errors import C100KError
except ImportError as error:
    MISSING = error
else:
    MISSING = None

UNTOUCHED = {"present": "up", "absent": "down"}


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if MISSING is not None:
            raise AnsibleError(
                f"The controller package c100k is missing from Ansible's Python; run `make setup`. {MISSING}"
            )
        _validation, arguments = self.validate_argument_spec(
            {
                "name": {"type": "str", "default": "c100k"},
                "subnet": {"type": "str", "default": "10.111.0.0/24"},
                "hosts": {"type": "list", "elements": "str", "default": ["node1", "node2", "node3", "node4"]},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            }
        )
        try:
            config = lab.LabConfig(name=arguments["name"], subnet=arguments["subnet"], nodes=tuple(arguments["hosts"]))
            result["changed"] = lab.status(config).state != UNTOUCHED[arguments["state"]]
            if not self._task.check_mode:
                change = lab.up if arguments["state"] == "present" else lab.down
                change(config, self._display.display)
        except C100KError as error:
            raise AnsibleActionFail(str(error)) from error
        if arguments["state"] == "present":
            result.update(
                hosts={node: str(config.address(node)) for node in config.nodes}, ssh_config=str(config.ssh_config)
            )
        return result

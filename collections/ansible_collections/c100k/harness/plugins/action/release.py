# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Builds a package's wheels on the controller, unless they are there."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

try:
    from c100k.errors import C100KError
    from c100k.wheels import build_release
except ImportError as error:
    MISSING = error
else:
    MISSING = None


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if MISSING is not None:
            raise AnsibleError(
                f"The controller package c100k is missing from Ansible's Python; run `make setup`. {MISSING}"
            )
        _validation, arguments = self.validate_argument_spec(
            {
                "package": {"type": "str", "choices": ["server", "loadgen"], "required": True},
                "python": {"type": "str", "default": "3.11"},
                "machine": {"type": "str", "default": "x86_64"},
            }
        )
        try:
            built = build_release(arguments["package"], python=arguments["python"], machine=arguments["machine"])
        except C100KError as error:
            raise AnsibleActionFail(str(error)) from error
        # A new tar in the controller's cache changes no host, so it does not count as a change.
        result.update(changed=False, path=str(built.path), version=built.version)
        return result

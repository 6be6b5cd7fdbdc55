# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What the actions have in common that use the controller package c100k.

They import what they need of it and ignore that it is missing, which is told here, once, when they run.
"""

from __future__ import annotations

from abc import abstractmethod

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

try:
    from c100k.errors import C100KError
except ImportError as error:
    MISSING = error
else:
    MISSING = None


class ControllerAction(ActionBase):
    """An action on the controller: `ARGUMENTS` is its argument spec, `act` its work, whose results are returned."""

    _requires_connection = False
    ARGUMENTS = {}

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if MISSING is not None:
            raise AnsibleError(
                f"The controller package c100k is missing from Ansible's Python; run `make setup`. {MISSING}"
            )
        _validation, arguments = self.validate_argument_spec(self.ARGUMENTS)
        try:
            result.update(self.act(arguments, task_vars or {}))
        except C100KError as error:
            raise AnsibleActionFail(str(error)) from None
        return result

    @abstractmethod
    def act(self, arguments, task_vars):
        """The results. Raises `C100KError`."""

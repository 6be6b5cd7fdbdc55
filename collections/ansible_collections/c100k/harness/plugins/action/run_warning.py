# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Keep with a run what went wrong beside it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import report
    from c100k.run_directory import RunDirectory


class ActionModule(ControllerAction):
    """Adds the warning to the run directory, and to what was told of the run already."""

    ARGUMENTS = {"run_dir": {"type": "path", "required": True}, "message": {"type": "str", "required": True}}

    def act(self, arguments, task_vars):
        message = str(arguments["message"])
        self._display.warning(message)
        if not self._task.check_mode:
            report.warn(RunDirectory(Path(str(arguments["run_dir"]))), message)
        return {"changed": True}

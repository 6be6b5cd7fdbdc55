# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Judge a run from its raw files."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import report
    from c100k.record import Verdict
    from c100k.run_directory import RunDirectory
    from c100k.summary import verdict_line


class ActionModule(ControllerAction):
    """Writes run.json and all else that is derived, shows the summary, and fails unless the verdict is PASS."""

    ARGUMENTS = {"run_dir": {"type": "path", "required": True}}

    def act(self, arguments, task_vars):
        directory = RunDirectory(Path(str(arguments["run_dir"])))
        judged = report.write(directory)
        self._display.display("\n" + directory.summary.read_text())
        return {
            "changed": True,
            "failed": judged.verdict is not Verdict.PASS,
            "verdict": str(judged.verdict),
            "reasons": judged.reasons,
            "msg": verdict_line(judged),
        }

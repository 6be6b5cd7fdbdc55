# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Judge a run from its raw files."""

from __future__ import annotations

from pathlib import Path

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase

try:
    from c100k import report
    from c100k.errors import C100KError
    from c100k.record import Verdict
    from c100k.run_directory import RunDirectory
    from c100k.summary import verdict_line
except ImportError as error:
    MISSING = error
else:
    MISSING = None


class ActionModule(ActionBase):
    """Writes run.json, junit.xml and summary.txt, shows the summary, and fails unless the verdict is PASS."""

    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if MISSING is not None:
            raise AnsibleError(
                f"The controller package c100k is missing from Ansible's Python; run `make setup`. {MISSING}"
            )
        _validation, arguments = self.validate_argument_spec(
            argument_spec={"run_dir": {"type": "path", "required": True}}
        )
        directory = RunDirectory(Path(str(arguments["run_dir"])))
        try:
            judged = report.write(directory)
        except C100KError as error:
            raise AnsibleActionFail(str(error)) from None
        self._display.display("\n" + directory.summary.read_text())
        result.update(changed=True, verdict=str(judged.verdict), reasons=judged.reasons, msg=verdict_line(judged))
        result["failed"] = judged.verdict is not Verdict.PASS
        return result

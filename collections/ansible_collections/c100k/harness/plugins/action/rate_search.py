# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Say which rates the next run of a search tries, and which one was found."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import rates, report
    from c100k.rate_search import Search, found, trials_of
    from c100k.run_directory import RunDirectory


class ActionModule(ControllerAction):
    """Reads what the runs so far have come to, and keeps it in the directory of the next one."""

    ARGUMENTS = {
        "runs": {"type": "list", "elements": "path", "required": True},
        "rates": {"type": "list", "elements": "int", "required": True},
        "stage_s": {"type": "int", "required": True},
        "settle_s": {"type": "int", "required": True},
        "confirm_s": {"type": "int", "required": True},
        "keep_in": {"type": "path"},
    }

    def act(self, arguments, task_vars):
        search = Search(
            rates=arguments["rates"],
            stage_s=arguments["stage_s"],
            confirm_s=arguments["confirm_s"],
            settle_s=arguments["settle_s"],
        )
        judged = [report.read(Path(str(path))) for path in arguments["runs"]]
        trials = [trial for run in judged for trial in trials_of(run)]
        if arguments["keep_in"] is not None:
            path = RunDirectory(Path(str(arguments["keep_in"]))).searched
            rates.write(path, [row for run in judged for row in rates.rows(run)])
        rate = found(trials)
        return {
            "changed": arguments["keep_in"] is not None,
            "runs": [str(path) for path in arguments["runs"]],
            "found_per_s": rate,
            "next": search.stages(search.next_rates(trials)),
            "confirmation": search.confirmation(trials),
            "longest_s": search.longest_s,
            "msg": f"the highest rate inside the SLA so far is {rate:,}/s" if trials else "nothing was tried yet",
        }

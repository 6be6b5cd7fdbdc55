# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the module `fault`, and notes in the run directory what it did: the raw file of every recovery."""

from __future__ import annotations

import json
from pathlib import Path

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = self._task.args
        result.update(self._execute_module(task_vars=task_vars))
        if arguments.get("run_dir") and "at" in result:
            note = {
                "at": result["at"],
                "host": task_vars["inventory_hostname"],
                "name": arguments.get("name", "fault"),
                "state": arguments["state"],
                **({"kind": arguments["kind"]} if arguments.get("kind") else {}),
                **({"up_at": result["up_at"]} if "up_at" in result else {}),
                "dropped_packets": result["dropped_packets"],
                "units": result["units"],
            }
            with (Path(arguments["run_dir"]) / "faults.jsonl").open("a") as faults:
                faults.write(json.dumps(note) + "\n")
        return result

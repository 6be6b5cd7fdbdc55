# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Put the phases and faults of a run on Grafana's time line."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils import grafana
from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import run_annotations
    from c100k.run_directory import RunDirectory


class ActionModule(ControllerAction):
    """Adds what is missing, and removes what the run has no more."""

    ARGUMENTS = {
        **grafana.ARGUMENTS,
        "run_dir": {"type": "path", "required": True},
        "dashboard_uid": {"type": "str", "default": ""},
    }

    def act(self, arguments, task_vars):
        run = RunDirectory(Path(str(arguments["run_dir"])).resolve())
        dashboard_uid = str(arguments["dashboard_uid"])
        wanted = run_annotations.of_run(run, dashboard_uid) if arguments["state"] == "present" else set()
        served = grafana.connect(arguments)
        found = served.annotations(run_annotations.run_tags(run.run_id))
        missing, superfluous = run_annotations.differences(found, wanted, dashboard_uid)
        if not self._task.check_mode:
            for number in superfluous:
                served.remove_annotation(number)
            for annotation in sorted(missing, key=lambda each: each.begins_ms):
                served.annotate(annotation)
        kept = wanted - missing
        return {
            "changed": bool(missing or superfluous),
            "added": len(missing),
            "removed": len(superfluous),
            "diff": {"before": text([*kept, *superfluous.values()]), "after": text(wanted)},
        }


def text(several):
    """A line for each annotation, in the order of time."""
    lines = sorted(
        f"{stamp(each.begins_ms)} to {stamp(each.ends_ms)} {each.text} [{', '.join(sorted(each.tags))}]\n"
        for each in several
    )
    return "".join(lines)


def stamp(milliseconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000)) + f".{milliseconds % 1000:03}Z"

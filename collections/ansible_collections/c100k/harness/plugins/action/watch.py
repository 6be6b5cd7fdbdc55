# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Show the progress of a run until all its generators are done, or until a moment of it."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k.live import POLL_S, Endpoint, follow
    from c100k.progress import ProgressWriter
    from c100k.run_directory import RunDirectory


class ActionModule(ControllerAction):
    """Asks every generator for its status once a second, which also tells the generators that someone is there."""

    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "endpoints": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {"name": {"type": "str", "required": True}, "url": {"type": "str", "required": True}},
        },
        "interval_s": {"type": "int", "default": 5},
        "return_at": {"type": "float"},
    }

    def act(self, arguments, task_vars):
        endpoints = [Endpoint(str(entry["name"]), str(entry["url"])) for entry in arguments["endpoints"]]
        shown_at, progress = 0.0, None
        with ProgressWriter(RunDirectory(Path(str(arguments["run_dir"])))) as written:
            for progress in follow(endpoints):
                written.write(progress)
                if progress.t - shown_at >= arguments["interval_s"] - 0.5:
                    self._display.display(progress.line())
                    shown_at = progress.t
                if arguments["return_at"] is not None and progress.t >= arguments["return_at"] - POLL_S / 2:
                    break
        return {"changed": False, **({} if progress is None else {"last": asdict(progress)})}

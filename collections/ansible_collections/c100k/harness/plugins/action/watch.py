# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Show the progress of a run until all its generators are done, or until a moment of it."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils import screen
from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import terminal
    from c100k.live import POLL_S, Endpoint, follow
    from c100k.progress import ProgressWriter, read
    from c100k.recovery import read_faults
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
        run = RunDirectory(Path(str(arguments["run_dir"])))
        show, progress = self._in_terminal(run) or self._in_lines(arguments["interval_s"]), None
        with ProgressWriter(run) as written:
            for progress in follow(endpoints):
                written.write(progress)
                show(progress)
                if arguments["return_at"] is not None and progress.t >= arguments["return_at"] - POLL_S / 2:
                    break
        return {"changed": False, **({} if progress is None else {"last": asdict(progress)})}

    def _in_lines(self, interval_s):
        """Shows a line each so many seconds."""
        shown_at = 0.0

        def show(progress):
            nonlocal shown_at
            if progress.t - shown_at >= interval_s - 0.5:
                self._display.display(progress.line())
                shown_at = progress.t

        return show

    def _in_terminal(self, run):
        """Draws what is seen over what was seen before; nothing outside of a terminal."""
        drawn_on = screen.seen()
        if drawn_on is None:
            return None
        limit, before = terminal.p95_limit(run.read_plan()), read(run)

        def show(progress):
            before.append(progress)
            frame = terminal.draw(run.run_id, before, read_faults(run.faults), limit, progress.t)
            self._display.display(drawn_on.frame(frame), screen_only=True)

        return show

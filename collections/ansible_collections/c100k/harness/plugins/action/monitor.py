# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Show what servers and generators count, once a second."""

from __future__ import annotations

import contextlib
import time

from ansible_collections.c100k.harness.plugins.plugin_utils import screen
from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import monitor, terminal
    from c100k.live import Endpoint

_ENDPOINTS = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"name": {"type": "str", "required": True}, "url": {"type": "str", "required": True}},
}


class ActionModule(ControllerAction):
    """Shows all hosts each second, so many times or until it is interrupted."""

    ARGUMENTS = {"servers": _ENDPOINTS, "loadgens": _ENDPOINTS, "times": {"type": "int", "default": 0}}

    def act(self, arguments, task_vars):
        servers, loadgens = (
            [Endpoint(str(entry["name"]), str(entry["url"])) for entry in arguments[part]]
            for part in ("servers", "loadgens")
        )
        before, seen_at, seen, drawn_on = None, time.monotonic(), [], screen.seen()
        for number, sights in enumerate(monitor.follow(monitor.watched(servers, loadgens)), 1):
            now = time.monotonic()
            if drawn_on is None:
                self._display.display(monitor.table(sights, before, now - seen_at) + "\n")
            else:
                run = monitor.progress(sights)
                seen = [*seen, run] if run else []
                frame = terminal.draw_hosts(sights, before, now - seen_at, seen)
                self._display.display(drawn_on.frame(frame), screen_only=True)
            if number == arguments["times"]:
                break
            before, seen_at = sights, now
        return {"changed": False}

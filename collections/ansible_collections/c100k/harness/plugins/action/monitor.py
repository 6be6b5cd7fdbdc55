# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Show what servers and generators count, once a second."""

from __future__ import annotations

import contextlib
import time

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import monitor
    from c100k.live import Endpoint

_ENDPOINTS = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {"name": {"type": "str", "required": True}, "url": {"type": "str", "required": True}},
}


class ActionModule(ControllerAction):
    """Shows a table a second, so many times or until it is interrupted."""

    ARGUMENTS = {"servers": _ENDPOINTS, "loadgens": _ENDPOINTS, "times": {"type": "int", "default": 0}}

    def act(self, arguments, task_vars):
        servers, loadgens = (
            [Endpoint(str(entry["name"]), str(entry["url"])) for entry in arguments[part]]
            for part in ("servers", "loadgens")
        )
        before, seen_at = None, time.monotonic()
        for number, sights in enumerate(monitor.follow(monitor.watched(servers, loadgens)), 1):
            now = time.monotonic()
            self._display.display(monitor.table(sights, before, now - seen_at) + "\n")
            if number == arguments["times"]:
                break
            before, seen_at = sights, now
        return {"changed": False}

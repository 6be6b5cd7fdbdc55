# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Builds a package's wheels on the controller, unless they are there."""

from __future__ import annotations

import contextlib

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k.wheels import build_release


class ActionModule(ControllerAction):
    ARGUMENTS = {
        "package": {"type": "str", "choices": ["server", "loadgen"], "required": True},
        "python": {"type": "str", "default": "3.11"},
        "machine": {"type": "str", "default": "x86_64"},
    }

    def act(self, arguments, task_vars):
        built = build_release(arguments["package"], python=arguments["python"], machine=arguments["machine"])
        # A new tar in the controller's cache changes no host, so it does not count as a change.
        return {"changed": False, "path": str(built.path), "version": built.version}

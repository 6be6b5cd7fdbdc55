# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Tells the tasks that show a run whether they are seen in a terminal, which they cannot find out themselves."""

from __future__ import annotations

DOCUMENTATION = r"""
name: terminal
type: notification
short_description: Draw a run anew each second in a terminal
description:
  - With it M(c100k.harness.watch) and M(c100k.harness.monitor) draw what they see in one place of the terminal, again
    and again. Without it, and where the output goes elsewhere, they write plain lines.
author:
  - The c100k authors (@c100k)
requirements:
  - to be enabled, as C(callbacks_enabled = c100k.harness.terminal) in the section C(defaults) of C(ansible.cfg)
"""

import os
import shutil
import sys

from ansible.plugins.callback import CallbackBase
from ansible_collections.c100k.harness.plugins.plugin_utils.screen import VARIABLE


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "c100k.harness.terminal"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task, is_conditional):
        """The process of a task is forked after this, and inherits the environment."""
        os.environ.pop(VARIABLE, None)
        if sys.stdout.isatty():
            size = shutil.get_terminal_size()
            os.environ[VARIABLE] = f"{size.columns} {size.lines}"

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Runs the module `preflight_info` and adds how far the host's clock is off, which only the controller can tell."""

from __future__ import annotations

import time

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(self._execute_module(task_vars=task_vars))
        if not result.get("failed"):
            round_trips = int(self._task.args.get("round_trips", 5))
            result["host"].update(best_reading([self._read_clock() for _number in range(max(1, round_trips))]))
        return result

    def _read_clock(self):
        """One reading: the controller's time before and after, and the host's between them, in seconds since 1970."""
        before = time.time()
        done = self._low_level_execute_command("date +%s.%N", sudoable=False)
        after = time.time()
        try:
            return before, float(done["stdout"].strip()), after
        except ValueError:
            raise AnsibleError(f"The host's clock could not be read: {done['stderr'] or done['stdout']!r}.") from None


def best_reading(readings):
    """Offset and error bound from the reading with the shortest round trip."""
    before, remote, after = min(readings, key=lambda reading: reading[2] - reading[0])
    return {
        "clock_offset_s": round(remote - (before + after) / 2, 4),
        "clock_error_s": round((after - before) / 2, 4),
    }

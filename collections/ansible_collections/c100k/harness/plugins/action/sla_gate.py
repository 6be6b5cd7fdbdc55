# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Hold rules against a run and against Prometheus."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    import msgspec

    from c100k import gate
    from c100k.record import Verdict


class ActionModule(ControllerAction):
    """Fails unless all rules hold, or unless it may not fail."""

    ARGUMENTS = {
        "rules": {"type": "list", "elements": "dict", "required": True},
        "run_dir": {"type": "path"},
        "prometheus_url": {"type": "str"},
        "at": {"type": "float"},
        "answer_limit_s": {"type": "float", "default": 5.0},
        "fail": {"type": "bool", "default": True},
    }

    def act(self, arguments, task_vars):
        run_dir, url = arguments["run_dir"], arguments["prometheus_url"]
        gated = gate.judge(
            # Ansible's own kinds of text and numbers are no text and numbers to those who look closely.
            json.loads(json.dumps(arguments["rules"])),
            Path(str(run_dir)) if run_dir else None,
            gate.Prometheus(str(url), arguments["at"], arguments["answer_limit_s"]) if url else None,
        )
        return {
            "changed": False,
            "failed": arguments["fail"] and gated.verdict is not Verdict.PASS,
            "verdict": str(gated.verdict),
            "reasons": gated.reasons,
            "rules": msgspec.to_builtins(gated.rules),
            "msg": f"{gated.verdict}: {'; '.join(gated.reasons) or f'all {len(gated.rules)} rules hold'}",
        }

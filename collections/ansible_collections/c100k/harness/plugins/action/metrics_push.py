# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Push the results of a run into Prometheus."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import prometheus, remote_write, report, results


class ActionModule(ControllerAction):
    """Sends them unless Prometheus has them already."""

    ARGUMENTS = {
        "run_dir": {"type": "path", "required": True},
        "prometheus_url": {"type": "str", "required": True},
        "answer_limit_s": {"type": "float", "default": 5.0},
    }

    def act(self, arguments, task_vars):
        run = report.read(Path(str(arguments["run_dir"])))
        url, answer_limit_s = str(arguments["prometheus_url"]), arguments["answer_limit_s"]
        points = results.of_run(run)
        wanted = {line(point.name, point.labels): point.value for point in points}
        expression = f'{{__name__=~"{results.PREFIX}.+",run={json.dumps(run.run_id)}}}'
        at_s = results.ended_at_ms(run) / 1000
        found = {
            line(sample.labels["__name__"], sample.labels): sample.value
            for sample in prometheus.query(url, expression, at_s, answer_limit_s)
        }
        others = [series for series, value in found.items() if wanted.get(series) != value]
        if others:
            raise prometheus.PrometheusError(
                f"Prometheus at {url} has other results of {run.run_id} already, such as {others[0]}. "
                "It never changes a sample: delete the series of this run first."
            )
        missing = [point for point in points if line(point.name, point.labels) not in found]
        if missing and not self._task.check_mode:
            remote_write.write(url, missing, answer_limit_s)
        return {
            "changed": bool(missing),
            "pushed": len(missing),
            "at": at_s,
            "diff": {"before": text(found), "after": text(wanted)},
        }


def line(name, labels):
    """A series as PromQL writes it."""
    own = ", ".join(f"{label}={json.dumps(value)}" for label, value in sorted(labels.items()) if label != "__name__")
    return f"{name}{{{own}}}"


def text(values):
    return "".join(f"{series} {value:.17g}\n" for series, value in sorted(values.items()))

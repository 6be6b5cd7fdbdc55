# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Asks Prometheus what it knows of a host, and runs the module `metrics_info` there for the rest."""

from __future__ import annotations

import contextlib
import json

from ansible_collections.c100k.harness.plugins.module_utils import exposition, host_figures
from ansible_collections.c100k.harness.plugins.module_utils.metrics_parts import ARGUMENTS, PREFIXES
from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k import prometheus


class ActionModule(ControllerAction):
    _requires_connection = True
    ARGUMENTS = ARGUMENTS

    def act(self, arguments, task_vars):
        host = arguments["prometheus_host"] or task_vars["inventory_hostname"]
        seen, warnings = self._seen(arguments, str(host))
        missing = [str(part) for part in arguments["parts"] if seen.get(part) is None]
        seen = {part: figures for part, figures in seen.items() if part in arguments["parts"] and part not in missing}
        result = self._execute_module(module_args={**self._task.args, "parts": missing}, task_vars=task_vars)
        if not result.get("failed"):
            result.update(seen)
            result["sources"].update(dict.fromkeys(seen, "prometheus"))
            result["warnings"] = [*result.get("warnings", []), *warnings]
        return result

    @staticmethod
    def _seen(arguments, host):
        """The parts that Prometheus knows, and why it does not know them."""
        url = arguments["prometheus_url"]
        if url is None:
            return {}, []
        names = "|".join([*host_figures.SERIES, *(f"{prefix}.*" for prefix in PREFIXES.values())])
        try:
            samples = prometheus.query(
                str(url),
                f'{{__name__=~"{names}",__name__!~".*_bucket",host={json.dumps(host)}}}',
                answer_limit_s=arguments["answer_limit_s"],
            )
        except prometheus.PrometheusError as error:
            return {}, [f"The figures of {host} come from itself: {error}"]
        series = [(sample.labels["__name__"], sample.labels, exposition.number(sample.value)) for sample in samples]
        parts = {part: exposition.by_name(series, prefix) or None for part, prefix in PREFIXES.items()}
        return {"host": host_figures.told(series), **parts}, []

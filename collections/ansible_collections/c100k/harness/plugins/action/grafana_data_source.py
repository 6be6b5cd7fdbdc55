# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Make a Prometheus a data source of Grafana, or remove it from there."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail
from ansible_collections.c100k.harness.plugins.plugin_utils import grafana
from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction


class ActionModule(ControllerAction):
    """Saves only what differs from what Grafana has."""

    ARGUMENTS = {
        **grafana.ARGUMENTS,
        "prometheus_url": {"type": "str"},
        "name": {"type": "str", "default": "c100k"},
        "uid": {"type": "str", "default": "c100k"},
        "scrape_interval_s": {"type": "int", "default": 5},
    }

    def act(self, arguments, task_vars):
        present, uid = arguments["state"] == "present", str(arguments["uid"])
        if present and not arguments["prometheus_url"]:
            raise AnsibleActionFail("A data source that is to be present needs a prometheus_url.")
        served, model = grafana.connect(arguments), wanted_model(arguments)
        stored = served.data_source(uid)
        before, after = part(stored, model) if stored else {}, model if present else {}
        if before != after and not self._task.check_mode:
            if present:
                served.save_data_source(merged(stored or {}, model), new=stored is None)
            else:
                served.delete_data_source(uid)
        return {"changed": before != after, "uid": uid, "diff": grafana.difference(before, after)}


def wanted_model(arguments):
    """What Grafana is to know of this Prometheus; its own server asks it."""
    return {
        "uid": str(arguments["uid"]),
        "name": str(arguments["name"]),
        "type": "prometheus",
        "access": "proxy",
        "url": str(arguments["prometheus_url"] or ""),
        "jsonData": {"httpMethod": "POST", "timeInterval": f"{arguments['scrape_interval_s']}s"},
    }


def part(stored, model):
    """So much of a stored data source as the model speaks of."""
    return {
        key: part(stored.get(key) or {}, value) if isinstance(value, dict) else stored.get(key)
        for key, value in model.items()
    }


def merged(stored, model):
    """A stored data source with what the model says otherwise."""
    return {
        **stored,
        **{
            key: merged(stored.get(key) or {}, value) if isinstance(value, dict) else value
            for key, value in model.items()
        },
    }

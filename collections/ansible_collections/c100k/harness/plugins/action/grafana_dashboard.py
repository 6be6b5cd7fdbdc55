# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Put a dashboard into Grafana, or remove it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible_collections.c100k.harness.plugins.plugin_utils import grafana
from ansible_collections.c100k.harness.plugins.plugin_utils.controller import ControllerAction

with contextlib.suppress(ImportError):
    from c100k.grafana import Dashboard


class ActionModule(ControllerAction):
    """Saves only what differs from what Grafana has."""

    ARGUMENTS = {
        **grafana.ARGUMENTS,
        "dashboard": {"type": "dict"},
        "path": {"type": "path"},
        "uid": {"type": "str"},
        "folder": {"type": "str"},
        "message": {"type": "str", "default": "by c100k.harness.grafana_dashboard"},
    }

    def act(self, arguments, task_vars):
        model = wanted_model(arguments)
        uid = str(arguments["uid"] or model.get("uid") or "")
        if not uid:
            raise AnsibleActionFail("A dashboard needs a uid, by which Grafana finds it again.")
        served = grafana.connect(arguments)
        stored = served.dashboard(uid)
        if arguments["state"] == "absent":
            return self._remove(served, uid, stored)
        if not model:
            raise AnsibleActionFail("A dashboard that is to be present needs a model: give dashboard or path.")
        return self._save(served, {**model, "uid": uid}, arguments, stored)

    def _remove(self, served, uid, stored):
        if stored is not None and not self._task.check_mode:
            served.delete(uid)
        before = {} if stored is None else {"dashboard": dict(stored.model)}
        return {"changed": stored is not None, "uid": uid, "diff": grafana.difference(before, {})}

    def _save(self, served, model, arguments, stored):
        folders = {"": "", **served.folders()}
        titles = {uid: title for title, uid in folders.items()}
        before = None if stored is None else titles.get(stored.folder_uid, stored.folder_uid)
        folder = str(arguments["folder"]) if arguments["folder"] is not None else before or ""
        changed = stored is None or before != folder or not stored.holds(model)
        if changed and not self._task.check_mode:
            folder_uid = stored.folder_uid if stored is not None and before == folder else folders.get(folder)
            if folder_uid is None:
                folder_uid = served.create_folder(folder)
            served.save(model, folder_uid, str(arguments["message"]))
        return {
            "changed": changed,
            "uid": model["uid"],
            "diff": grafana.difference(
                {} if stored is None else {"folder": before, "dashboard": stored.part(model)},
                {"folder": folder, "dashboard": Dashboard(model, "").part(model)},
            ),
        }


def wanted_model(arguments):
    """The model that was given, empty when there is none."""
    if arguments["dashboard"] is not None and arguments["path"] is not None:
        raise AnsibleActionFail("Give either dashboard or path, not both.")
    if arguments["path"] is None:
        return json.loads(json.dumps(arguments["dashboard"] or {}))
    path = Path(str(arguments["path"]))
    try:
        model = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise AnsibleActionFail(f"{path} is no dashboard: {error}") from None
    if not isinstance(model, dict):
        raise AnsibleActionFail(f"{path} is no dashboard: it must hold an object.")
    return model

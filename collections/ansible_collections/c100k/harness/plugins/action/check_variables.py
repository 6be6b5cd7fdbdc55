# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""Refuses variables that are spelt like ours but that no role declares (they would be ignored), or of another type."""

from __future__ import annotations

import difflib
from pathlib import Path

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

ROLES = Path(__file__).resolve().parents[2] / "roles"


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        declared = declared_variables(ROLES, self._loader)
        prefixes = tuple(sorted(f"{path.name}_" for path in ROLES.iterdir()))
        given, values = {}, {}
        for host, variables in task_vars["hostvars"].items():
            for name in variables:
                if name.startswith(prefixes) and name not in given:
                    given[name], values[name] = f"for {host}", variables
        extra = load_extra_vars(self._loader)
        for name in extra:
            if not name.startswith(("ansible_", "__")):
                given[name], values[name] = "on the command line", extra
        problems = [
            unknown_sentence(name, given[name], close)
            for name, close in unknown_variables(given, declared, prefixes).items()
        ]
        for name in sorted(given.keys() & declared.keys()):
            problems += type_sentences(name, given[name], values[name][name], declared[name])
        result.update(changed=False, failed=bool(problems))
        if problems:
            result["msg"] = "\n".join(problems)
        return result


def declared_variables(roles, loader):
    """Every variable that the argument specs of the roles declare, with its spec."""
    found = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        for entry_point in loader.load_from_file(str(path))["argument_specs"].values():
            found.update(entry_point.get("options", {}))
    return found


def unknown_variables(given, declared, prefixes):
    """The given names that are not declared but begin like ours or resemble one, each with the closest one."""
    unknown = {}
    for name in sorted(given.keys() - declared.keys()):
        prefixed = f"c100k_{name}".lower()
        close = [prefixed] if prefixed in declared else difflib.get_close_matches(name.lower(), declared, 1, cutoff=0.8)
        if close or name.startswith(prefixes):
            unknown[name] = close[0] if close else None
    return unknown


def unknown_sentence(name, where, close):
    hint = f"did you mean {close}?" if close else "`ansible-doc -t role -l c100k.harness` lists what there is."
    return f"{name} (set {where}) is not a variable of c100k.harness; {hint}"


def type_sentences(name, where, value, spec):
    """What is wrong with the value of a declared variable, as Ansible itself would say it."""
    if isinstance(value, str) and "{{" in value:
        return []  # a template from the command line; the role that uses it checks what comes out
    checked = ArgumentSpecValidator({name: {**spec, "required": False}}).validate({name: value})
    return [f"{name} (set {where}) cannot be used: {message}." for message in checked.error_messages]

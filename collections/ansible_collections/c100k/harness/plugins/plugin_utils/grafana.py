# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""How the actions reach Grafana."""

from __future__ import annotations

import json

from ansible.errors import AnsibleError

try:
    from c100k.grafana import Grafana
except ImportError as error:
    MISSING = error
else:
    MISSING = None

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "url": {"type": "str", "required": True},
    "token": {"type": "str", "no_log": True},
    "username": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "answer_limit_s": {"type": "float", "default": 10.0},
}


def connect(arguments):
    """The Grafana of these arguments; it is asked for nothing yet."""
    if MISSING is not None:
        raise AnsibleError(f"What speaks with Grafana is missing from Ansible's Python; run `make setup`. {MISSING}")
    url, token, username, password = (
        None if arguments[name] is None else str(arguments[name]) for name in ("url", "token", "username", "password")
    )
    credential = token if username is None else (username, password or "")
    return Grafana(url, credential, arguments["answer_limit_s"])


def difference(before, after):
    """What Ansible shows of a change between two models, of which one may be empty."""
    return {"before": _text(before), "after": _text(after)}


def _text(model):
    return json.dumps(model, indent=2, sort_keys=True) + "\n" if model else ""

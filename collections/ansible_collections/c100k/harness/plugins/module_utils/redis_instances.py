# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""The arguments of all modules that speak to the instances of a Redis Cluster."""

from __future__ import annotations

#: Documented in the fragment of the same name.
ARGUMENTS = {
    "hosts": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "host": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
        },
    },
    "ports": {"type": "list", "elements": "int", "required": True},
    "username": {"type": "str", "default": "default"},
    "password": {"type": "str", "no_log": True},
}

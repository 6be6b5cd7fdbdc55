"""The command that asks for the same run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

#: Settings that the inventory of the run decides.
_OF_THE_INVENTORY = ("c100k_substrate",)


def command(scenario: str, substrate: str, settings: Mapping[str, Any]) -> list[str]:
    """Its lines; the inventory of hosts other than the lab is the user's own."""
    lines = [f"c100k run {shlex.quote(scenario)} -i {'inventory/lab' if substrate == 'lab' else 'INVENTORY'}"]
    for name, value in settings.items():
        if name in _OF_THE_INVENTORY or name.endswith("_port"):
            continue
        given = f"{name}={value}" if isinstance(value, int | float | str) else json.dumps({name: value})
        lines.append(f"    -e {shlex.quote(given)}")
    return lines

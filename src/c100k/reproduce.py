"""The command that asks for the same run again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from c100k.rate_search import CONFIRM, SEARCH

#: Settings that the inventory of the run decides.
_OF_THE_INVENTORY = ("c100k_substrate",)

#: Settings that follow from what the runs before have found.
_OF_THE_SEARCH = ("c100k_stages", "c100k_hold_s", "c100k_rate_per_s")


def command(scenario: str, substrate: str, settings: Mapping[str, Any]) -> list[str]:
    """Its lines; the inventory of hosts other than the lab is the user's own."""
    searched = scenario in (SEARCH, CONFIRM)
    given_scenario = "benchmark-100k" if searched else scenario
    lines = [f"c100k run {shlex.quote(given_scenario)} -i {'inventory/lab' if substrate == 'lab' else 'INVENTORY'}"]
    for name, value in settings.items():
        if name in _OF_THE_INVENTORY or name.endswith("_port"):
            continue
        if name in _OF_THE_SEARCH if searched else name.startswith("c100k_search_"):
            continue
        given = f"{name}={value}" if isinstance(value, int | float | str) else json.dumps({name: value})
        lines.append(f"    -e {shlex.quote(given)}")
    return lines

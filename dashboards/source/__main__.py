"""Write every dashboard beside this folder, or into the one that is given."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from source import cluster, generators, hosts, overview, recovery, server

DASHBOARDS = (overview, server, generators, hosts, cluster, recovery)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    for module in DASHBOARDS:
        text = JSONEncoder(sort_keys=True, indent=2).encode(_without_intervals(module.dashboard().build()))
        (folder / f"{module.__name__.rpartition('.')[2]}.json").write_text(text + "\n")


def _without_intervals(dashboard: Dashboard) -> Dashboard:
    """The dashboard without what the library gives to all variables, and Grafana knows of those for intervals only."""
    for variable in dashboard.templating.list_val or []:
        variable.auto = variable.auto_min = variable.auto_count = None
    return dashboard


if __name__ == "__main__":
    main()

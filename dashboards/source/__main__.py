"""Write every dashboard beside this folder, or into the one that is given."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from source import cluster, generators, hosts, overview, recovery, server

DASHBOARDS = (overview, server, generators, hosts, cluster, recovery)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]
    for module in DASHBOARDS:
        text = JSONEncoder(sort_keys=True, indent=2).encode(module.dashboard().build())
        (folder / f"{module.__name__.rpartition('.')[2]}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()

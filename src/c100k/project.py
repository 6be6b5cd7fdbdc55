"""Where the checkout is that this controller runs from."""

from __future__ import annotations

from pathlib import Path

#: The root of the checkout: playbooks, collection and the packages for the hosts are found from here.
ROOT = Path(__file__).resolve().parents[2]

PLAYBOOKS = ROOT / "playbooks"
REQUIREMENTS = ROOT / "requirements"
CACHE = ROOT / ".cache"
RUNS = ROOT / "runs"

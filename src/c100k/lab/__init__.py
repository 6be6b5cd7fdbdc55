"""The lab: systemd-nspawn machines on this Linux box, on a private bridge, over one cached Debian image."""

from __future__ import annotations

from c100k.lab.config import LabConfig
from c100k.lab.errors import LabError
from c100k.lab.lifecycle import LabStatus, NodeStatus, down, prepare, status, up
from c100k.lab.lock import hold

__all__ = ["LabConfig", "LabError", "LabStatus", "NodeStatus", "down", "hold", "prepare", "status", "up"]

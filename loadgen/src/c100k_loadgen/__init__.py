"""An open-loop load generator for Model Context Protocol servers."""

from __future__ import annotations

from c100k_loadgen.errors import LoadgenError, OutputExistsError, PlanError, StatusAddressError
from c100k_loadgen.plan import Plan, Target
from c100k_loadgen.plan_reader import read_plan
from c100k_loadgen.version import VERSION as __version__

__all__ = [
    "LoadgenError",
    "OutputExistsError",
    "Plan",
    "PlanError",
    "StatusAddressError",
    "Target",
    "__version__",
    "read_plan",
]

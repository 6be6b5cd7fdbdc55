"""Whether a master may be the only one to have a write."""

from __future__ import annotations


def has_living_replica(nodes: str) -> bool:
    """Whether a master has a replica that is not dead, by its own `CLUSTER NODES`.

    Dead is what the majority of masters has flagged `fail`. A master that is cut off from the others can only suspect
    (`fail?`), so it never takes itself for the last one with the data.
    """
    rows = [line.split() for line in nodes.splitlines() if line]
    own = next((row[0] for row in rows if "myself" in row[2]), None)
    return any(row[3] == own and "fail" not in row[2].split(",") for row in rows)

"""What a replica has, as Redis says it."""

from __future__ import annotations

from collections.abc import Mapping


def has_living_replica(nodes: str) -> bool:
    """Whether a node has a replica that is not dead, or is one itself by now, by its own `CLUSTER NODES`.

    Dead is what the majority of masters has flagged `fail`. A master that is cut off from the others can only suspect
    (`fail?`), so it never takes itself for the last one with the data.
    """
    rows = [line.split() for line in nodes.splitlines() if line]
    own = next((row for row in rows if "myself" in row[2]), None)
    if own is None or "master" not in own[2].split(","):
        # Its replica has taken over meanwhile, and does not have what it has not confirmed.
        return True
    return any(row[3] == own[0] and "fail" not in row[2].split(",") for row in rows)


def read_facts(information: str) -> dict[str, str]:
    """A section of `INFO`."""
    return dict(line.split(":", 1) for line in information.splitlines() if ":" in line)


def was_in_step(facts: Mapping[str, str], within_s: float) -> bool:
    """Whether a replica had all of its master until no longer ago than `within_s`, by its `INFO replication`.

    One that has never synced, or is about to, may lack what `WAIT` saw confirmed before it came.
    """
    if facts.get("role") != "slave" or facts.get("master_sync_in_progress") != "0":
        return False
    linked = facts.get("master_link_status") == "up"
    silent_s = int(facts.get("master_last_io_seconds_ago" if linked else "master_link_down_since_seconds", -1))
    return 0 <= silent_s <= within_s

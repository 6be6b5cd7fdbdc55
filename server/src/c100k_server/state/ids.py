"""Ids that clients bring along."""

from __future__ import annotations

import re

_SESSION = re.compile(r"[0-9a-zA-Z-]{1,64}")
_EVENT = re.compile(r"(\d{1,20}-\d{1,20})/(\d{1,20}-\d{1,20})")


def is_session_id(text: str) -> bool:
    """Whether it can be one: it becomes part of a key."""
    return _SESSION.fullmatch(text) is not None


def read_event_id(text: str) -> tuple[bytes, bytes] | None:
    """The last message of the inbox and the last event of the cluster that a client has seen."""
    found = _EVENT.fullmatch(text)
    return (found[1].encode(), found[2].encode()) if found else None

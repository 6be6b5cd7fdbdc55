"""Lua scripts, which Redis runs as one indivisible operation."""

from __future__ import annotations

import hashlib


class Script:
    """A script under a name for humans. Write it so that running it twice does no more than running it once, and so
    that the second run writes something as well: only a connection that has written can wait for the replica."""

    __slots__ = ("name", "sha", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source.strip()
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

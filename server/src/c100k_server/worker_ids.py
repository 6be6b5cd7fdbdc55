"""Ids of what lives in one worker: they begin with its number, for others to find it, and are not to be guessed."""

from __future__ import annotations

import secrets


def new_id(worker: int) -> str:
    return f"{worker}-{secrets.token_hex(16)}"


def worker_of(given_id: str) -> int | None:
    """The worker that gave an id, if it has the form of one."""
    worker = given_id.partition("-")[0]
    return int(worker) if worker.isascii() and worker.isdecimal() and len(worker) < 6 else None

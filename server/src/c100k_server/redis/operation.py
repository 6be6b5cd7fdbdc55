"""One command on its way to a master, through retries, to exactly one end."""

from __future__ import annotations

import asyncio
from typing import Any, TypeAlias

from c100k_server.redis.errors import OutcomeUnknownError, StateUnavailableError
from c100k_server.redis.script import Script

# How long an operation may take unless it says otherwise, retries included; half a second more when its last try meets
# silence.
TIMEOUT_S = 2.0

Argument: TypeAlias = str | bytes | int | float


class Operation:
    """`slot` is None for what is asked of one node and no other. `deadline` is a time of the event loop.

    One that is not `repeatable` is given up when it may have been done already.
    """

    __slots__ = (
        "asking",
        "command",
        "deadline",
        "durable",
        "future",
        "redirections",
        "repeatable",
        "script",
        "sent",
        "slot",
        "started",
        "timeout_s",
    )

    def __init__(
        self,
        command: tuple[Argument, ...],
        slot: int | None,
        future: asyncio.Future[Any],
        started: float,
        timeout_s: float,
        *,
        durable: bool = False,
        repeatable: bool = True,
        script: Script | None = None,
    ) -> None:
        self.command = command
        self.slot = slot
        self.future = future
        self.started = started
        self.timeout_s = timeout_s
        self.deadline = started + timeout_s
        self.durable = durable
        self.repeatable = repeatable
        self.script = script
        self.asking = False
        # Whether it may have been done.
        self.sent = False
        self.redirections = 0

    def fail(self, reason: str) -> None:
        """End it without a reply."""
        if not self.future.done():
            kind = OutcomeUnknownError if self.sent else StateUnavailableError
            self.future.set_exception(kind(f"{self.name}: {reason}"))

    @property
    def name(self) -> str:
        return self.script.name if self.script is not None else str(self.command[0])

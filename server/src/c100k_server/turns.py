"""What connections put off to later turns of the event loop, so that who sends much at once holds nobody up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

# How long a turn of the loop may go on with what was put off. All other connections wait that long at most.
SHARE_S = 0.0005


class Turns:
    """A worker's queue of pieces of work, each a small part of what one connection has sent.

    In each turn of the loop they are done in their order until `SHARE_S` has passed: a hundred connections that send
    without end together get no more of the worker than one does.
    """

    __slots__ = ("_is_scheduled", "_loop", "_pieces")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pieces: deque[Callable[[], None]] = deque()
        self._is_scheduled = False

    def later(self, piece: Callable[[], None]) -> None:
        """Have `piece` called in another turn, behind those that wait."""
        self._pieces.append(piece)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        pieces = self._pieces
        ends_at = monotonic() + SHARE_S
        self._is_scheduled = False
        try:
            while pieces:
                pieces.popleft()()
                if monotonic() >= ends_at:
                    break
        finally:
            # A piece that fails takes none of the others with it.
            if pieces and not self._is_scheduled:
                self._is_scheduled = True
                self._loop.call_soon(self._take_turn)

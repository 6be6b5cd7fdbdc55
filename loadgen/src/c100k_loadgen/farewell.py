"""The end of all connections; before it sessions over HTTP are given up by DELETE, so that no server keeps them for
nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from c100k_loadgen.connection import Connection, State
from c100k_loadgen.http_session import HttpSession
from c100k_loadgen.tally import Tally

#: Sessions of one worker whose end is under way; and how long the end of all of them may take.
_AT_ONCE = 64
_BOUND_S = 5.0

_LOOK_S = 0.001

#: Connections closed in one go, between two looks at everything else.
_CLOSE_BATCH = 200


async def end_sessions(sessions: Sequence[HttpSession], tally: Tally) -> None:
    """Ask for the end of each, and count what became of it: `ended`, `not_allowed` when the server does not let clients
    do that, another `bad_status`, `unanswered`, or `not_asked` for want of time."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + _BOUND_S
    waiting, asked = list(sessions), set[HttpSession]()
    while (waiting or asked) and loop.time() < give_up_at:
        while waiting and len(asked) < _AT_ONCE:
            session = waiting.pop()
            if session.delete():
                asked.add(session)
        await asyncio.sleep(_LOOK_S)
        for session in [each for each in asked if each.farewell is not None or each.state is State.ENDED]:
            asked.discard(session)
            tally.session_ended(session.target, session.farewell or "unanswered")
            session.close()
    for session in asked:
        tally.session_ended(session.target, "unanswered")
    for session in waiting:
        tally.session_ended(session.target, "not_asked")


async def close_all(live: Sequence[Connection]) -> None:
    """Close those that are live now, whichever of them end by themselves meanwhile."""
    connections = list(live)
    for first in range(0, len(connections), _CLOSE_BATCH):
        for connection in connections[first : first + _CLOSE_BATCH]:
            connection.close()
        await asyncio.sleep(0)

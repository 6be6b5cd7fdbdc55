"""After the hold: sessions of all generators want the same names at once, and then every name is looked up."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import msgspec

from c100k_loadgen.connection import Connection
from c100k_loadgen.messages import SESSION_MOVED, STATE_UNAVAILABLE, reply_to
from c100k_loadgen.named import NamedSession
from c100k_loadgen.registry_messages import (
    NAME_TAKEN,
    RegistryMessage,
    contested_name,
    decode_registry_message,
    find_request,
    register_request,
    value_of,
)
from c100k_loadgen.resumable import ResumableSession

#: Requests that are under way at a time.
_AT_ONCE = 64
_RETRY_LEAST_S = 0.1

#: How late generators may be for the contest, and how long it may take.
_LATE_S = 1.0
_CONTEST_S = 3.0


class VerifiedName(NamedTuple):
    """What a look-up found under the name of a session of `target`, which is `node` there: what it had registered has a
    version from `acked` to `version`. `outcome` is `found`, `missing`, or `unanswered`."""

    name: str
    target: str
    node: str
    acked: int
    version: int
    outcome: str
    found_node: str = ""
    found_value: str = ""


class Contender(NamedTuple):
    """One session's attempt at a contested name: `won`, `taken`, `refused` or `unanswered`; and whom it found under the
    name when all was over."""

    name: str
    session: str
    target: str
    outcome: str
    found: str


class NameVerification:
    """Of all `sessions`, by requests with ids from `first_id` on. `nodes` are those of targets, and
    `heard_from` counts the messages of each.

    From `stop_at` on (`time.monotonic` seconds) no name changes any more; `stale_s` later look-ups must find the last
    version. `on_name` and `on_contender` get each result, in the end also of what was not answered.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sessions: Sequence[NamedSession],
        nodes: dict[str, str],
        first_id: int,
        heard_from: Counter[str],
        stop_at: float,
        stale_s: float,
        contested: int,
        on_name: Callable[[VerifiedName], None],
        on_contender: Callable[[Contender], None],
    ) -> None:
        self._loop = loop
        self._sessions = sessions
        self._nodes = nodes
        self._next_id = first_id
        self._heard_from = heard_from
        self._contest_at = stop_at + stale_s + _LATE_S
        self._contested = [contested_name(number) for number in range(contested)]
        self._on_name = on_name
        self._on_contender = on_contender
        self._asked: dict[int, tuple[NamedSession, asyncio.Future[RegistryMessage | None]]] = {}
        self._unverified = dict.fromkeys(sessions)
        # By contested name and session.
        self._outcomes: dict[tuple[str, NamedSession], str] = {}
        self._found: dict[tuple[str, NamedSession], str] = {}
        self._doing: asyncio.Task[None] | None = None

    async def run(self, bound_s: float) -> None:
        """Until all is verified, or for `bound_s`."""
        self._doing = self._loop.create_task(self._do())
        done, _ = await asyncio.wait([self._doing], timeout=bound_s)
        self._doing.cancel()
        await asyncio.wait([self._doing])
        for session in self._unverified:
            self._on_name(self._verified(session, "unanswered"))
        for (name, session), outcome in self._outcomes.items():
            found = self._found.get((name, session), "")
            self._on_contender(Contender(name, session.name, _target(session), outcome, found))
        if done and not self._doing.cancelled():
            self._doing.result()

    def end(self) -> None:
        """Leave what is not verified yet."""
        if self._doing is not None:
            self._doing.cancel()

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        """One message from a session that is live."""
        self._heard_from[connection.target] += 1
        try:
            message = decode_registry_message(line)
        except msgspec.MsgspecError:
            connection.fail("garbage")
            return
        if message.method is not None:
            if message.id is not None:
                connection.send(reply_to(message.id, message.method))
            return
        _, answer = self._asked.pop(message.id, (None, None))  # type: ignore[arg-type]
        if answer is not None and not answer.done():
            answer.set_result(message)
        if message.error is not None and message.error.code == SESSION_MOVED:
            connection.fail("moved")

    def lost(self, session: ResumableSession) -> None:
        """It is away: what it was asked for is asked for again."""
        for request_id in [each for each, (asked, _) in self._asked.items() if asked is session]:
            _, answer = self._asked.pop(request_id)
            if not answer.done():
                answer.set_result(None)

    def resumed(self, session: ResumableSession) -> None:
        """It can be asked now, as will be seen."""

    async def _do(self) -> None:
        # One session at each target wants all names that are contested.
        contenders = list({_target(session): session for session in self._sessions if session.live}.values())
        self._outcomes = dict.fromkeys(
            ((name, contender) for contender in contenders for name in self._contested), "unanswered"
        )
        await asyncio.sleep(self._contest_at - time.monotonic())
        await asyncio.gather(*(self._contend(name, session) for name, session in self._outcomes))
        waiting = deque(zip(self._sessions, [*self._sessions[1:], *self._sessions[:1]], strict=True))
        await asyncio.gather(*(self._verify_next(waiting) for _ in range(_AT_ONCE)))
        await asyncio.sleep(self._contest_at + _CONTEST_S - time.monotonic())
        await asyncio.gather(*(self._see_winner(name, session) for name, session in self._outcomes))

    async def _contend(self, name: str, session: NamedSession) -> None:
        value = value_of(session.name, 0)
        answer = await self._ask(session, partial(register_request, name=name, value=value))
        taken = answer.error is not None and answer.error.code == NAME_TAKEN
        won = answer.result is not None and bool(answer.result.node)
        self._outcomes[name, session] = "won" if won else "taken" if taken else "refused"

    async def _see_winner(self, name: str, session: NamedSession) -> None:
        answer = await self._ask(session, partial(find_request, name=name))
        if answer.result is not None and answer.result.found:
            self._found[name, session] = _text(answer.result.value).rpartition("#")[0]

    async def _verify_next(self, waiting: deque[tuple[NamedSession, NamedSession]]) -> None:
        """Look up the names of sessions, each by its neighbour, which is at another target where there is one."""
        while waiting:
            session, neighbour = waiting.popleft()
            if not session.change_known:
                # Nobody knows what became of its last change, so that is made again first.
                change = partial(register_request, name=session.name, value=session.value)
                if (await self._ask(session, change)).result is not None:
                    session.end_change(time.monotonic())
            answer = await self._ask(neighbour, partial(find_request, name=session.name))
            result = answer.result
            if result is None:
                row = self._verified(session, "unanswered")
            elif not result.found:
                row = self._verified(session, "missing")
            else:
                row = self._verified(session, "found", result.node, _text(result.value))
            del self._unverified[session]
            self._on_name(row)

    async def _ask(self, session: NamedSession, request: Callable[[int], bytes]) -> RegistryMessage:
        """The answer to a request, which is sent until there is one that stands."""
        while True:
            wait_s = _RETRY_LEAST_S
            if session.live and session.connection is not None:
                request_id = self._next_id
                self._next_id += 1
                answer: asyncio.Future[RegistryMessage | None] = self._loop.create_future()
                self._asked[request_id] = session, answer
                session.connection.write(request(request_id))
                message = await answer
                if message is not None:
                    error = message.error
                    if error is None or error.code not in (STATE_UNAVAILABLE, SESSION_MOVED):
                        return message
                    wait_s = max(wait_s, error.retry_after_s)
            await asyncio.sleep(wait_s * random.uniform(1, 1.5))

    def _verified(self, session: NamedSession, outcome: str, node: str = "", value: str = "") -> VerifiedName:
        target = _target(session)
        expected = session.acked_version, session.version
        return VerifiedName(session.name, target, self._nodes.get(target, ""), *expected, outcome, node, value)


def _target(session: NamedSession) -> str:
    return session.connection.target if session.connection is not None else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)

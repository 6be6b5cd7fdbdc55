"""Sending the registry workload: echoes, look-ups of names, and changes of them, on one schedule; all are checked.

What a look-up may find follows from what the owner of the name has registered. Look-ups may be answered from what a
server remembers, so for `stale_s` after a change was acknowledged the value before it is no wrong answer; how late
such answers were is recorded.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from c100k_loadgen.calls import Calls
from c100k_loadgen.connection import Connection
from c100k_loadgen.messages import Failure
from c100k_loadgen.named import NamedSession, named
from c100k_loadgen.phases import Phase
from c100k_loadgen.plan import Registry
from c100k_loadgen.recorder import Recorder
from c100k_loadgen.registry_messages import (
    NAME_TAKEN,
    REGISTER_ID,
    RegistryResult,
    decode_registry_message,
    find_request,
    register_request,
    unregister_request,
)
from c100k_loadgen.resumable import ResumableSession
from c100k_loadgen.schedule import AnySchedule
from c100k_loadgen.sender import Outstanding
from c100k_loadgen.session_sender import SessionSender, evenly_spread
from c100k_loadgen.tally import Tally

Kind = Literal["find_local", "find_remote", "update", "cycle"]
KINDS: tuple[Kind, ...] = ("find_local", "find_remote", "update", "cycle")

#: A name of the wanted place is looked for so often at random; there may be none.
_DRAWS = 32

#: Wrong answers that are told one by one; all are counted.
_TOLD_MAX = 1000


#: time, kind, name, `wrong` or `lost`, what was expected, what was found
OnMistake = Callable[[float, Kind, str, str, str, str], None]


class Lookup:
    """A look-up under way, and what was known of the name when it `began`: any version from `floor` on may be found,
    and nothing if it `may_miss`."""

    __slots__ = ("acked_at", "acked_version", "began", "floor", "kind", "may_miss", "named_at", "owner")

    def __init__(self, kind: Kind, owner: NamedSession, began: float, stale_s: float) -> None:
        self.kind = kind
        self.owner = owner
        self.began = began
        self.acked_version, self.acked_at, self.named_at = owner.acked_version, owner.acked_at, owner.named_at
        recent = not owner.change_known or began - owner.acked_at <= stale_s
        self.floor = owner.floor if recent else owner.acked_version
        self.may_miss = began - owner.named_at <= stale_s


class Change:
    """A change under way: the value of the session's name, or in a cycle the name itself, which is first given up."""

    __slots__ = ("given_up", "kind")

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.given_up = False


class RegistrySender(SessionSender):
    """A sender of what `registry` asks for to named sessions. `on_mistake` gets the first wrong answers to look-ups.

    `others` are its recorders by phase and tag: those of each kind of message, of registrations in the ramp, and
    `stale`, how long after a change was acknowledged a look-up began that was not told of it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tally: Tally,
        schedule: AnySchedule,
        hold_at: float,
        calls: Calls,
        timeout_s: float,
        *,
        registry: Registry,
        on_mistake: OnMistake,
        at_boundary: Callable[[float], None],
    ) -> None:
        super().__init__(
            loop,
            tally,
            schedule,
            hold_at,
            calls,
            timeout_s,
            increments=0.0,
            on_operation=_none,
            at_boundary=at_boundary,
        )
        self.nodes: dict[str, str] = {}  # by target, as registrations were answered there
        self.stale_s = registry.stale_s
        self._on_mistake = on_mistake
        self._mistakes = 0
        self._local = registry.local
        self._finds = self._local + registry.remote
        self._updates = self._finds + registry.updates
        self._cycles = self._updates + registry.cycles
        self._tasks: dict[int, Lookup | Change] = {}
        self._registrations = Recorder()
        self._times: dict[Phase, dict[str, Recorder]] = {
            phase: {tag: Recorder() for tag in (*KINDS, "stale")} for phase in ("settle", "hold")
        }
        self.others = [
            ("ramp", "register", self._registrations),
            *((phase, tag, recorder) for phase, tags in self._times.items() for tag, recorder in tags.items()),
        ]

    def registered(self, target: str, node: str, elapsed_s: float) -> None:
        """A session has its name."""
        self._registrations.record(int(elapsed_s * 1e6))
        if self.nodes.setdefault(target, node) != node:
            self._tally.message_error(self._tally.phase, target, "wrong_node")

    def resumed(self, connection: Connection) -> None:
        named(connection).moved_at = time.monotonic()
        super().resumed(connection)

    def _compose(self, session: ResumableSession, request_id: int) -> tuple[bytes, str | None]:
        assert isinstance(session, NamedSession)
        place, now = evenly_spread(request_id), time.monotonic()
        if place < self._finds:
            kind: Kind = "find_local" if place < self._local else "find_remote"
            owner = self._draw(session, local=place < self._local)
            if owner is not None:
                self._tasks[request_id] = Lookup(kind, owner, now, self.stale_s)
                return b"", ""
        elif place < self._cycles and not session.change_id:
            kind = "update" if place < self._updates else "cycle"
            session.begin_change(now, self.stale_s, cycle=kind == "cycle")
            session.change_id = request_id
            self._tasks[request_id] = Change(kind)
            return b"", ""
        return super()._compose(session, request_id)

    def _draw(self, session: NamedSession, *, local: bool) -> NamedSession | None:
        """A session at random, of the same target or of another one."""
        assert session.connection is not None
        live, target = self.live, session.connection.target
        for _ in range(_DRAWS):
            connection = live[int(random.random() * len(live))]
            if (connection.target == target) is local:
                return named(connection)
        return None

    def _line(self, session: ResumableSession, request_id: int) -> bytes:
        task = self._tasks.get(request_id)
        if task is None:
            return super()._line(session, request_id)
        if isinstance(task, Lookup):
            return find_request(request_id, task.owner.name)
        assert isinstance(session, NamedSession)
        if task.kind == "update":
            return register_request(request_id, session.name, session.value)
        if task.given_up:
            return register_request(_second_id(request_id), session.name, session.value)
        return unregister_request(request_id, session.name)

    def received(self, connection: Connection, line: bytes, now: float) -> None:
        self.heard_from[connection.target] += 1
        try:
            message = decode_registry_message(line)
        except msgspec.MsgspecError:
            self._malformed(connection, line, now)
            return
        if message.method is not None:
            self._told(connection, message.id, message.method, message.params)
            return
        answered = message.id
        request_id = _second_id(answered) if isinstance(answered, int) and answered < REGISTER_ID else answered
        outstanding = self.outstanding.get(request_id)  # type: ignore[arg-type]
        task = self._tasks.get(request_id)  # type: ignore[arg-type]
        second = isinstance(task, Change) and task.kind == "cycle" and task.given_up
        if outstanding is None or outstanding[0] is not connection or (answered != request_id) is not second:
            self._unexpected(connection, request_id)
            return
        assert isinstance(request_id, int)
        if message.error is not None:
            if not self._is_to_be_repeated(connection, request_id, message.error, now):
                self._settle(request_id, _refusal(task, message.error), now)
        elif message.result is None or message.result.isError:
            self._settle(request_id, "wrong_payload" if message.result is None else "rpc_error", now)
        else:
            self._answered(connection, request_id, task, message.result, outstanding, now)

    def _answered(
        self,
        connection: Connection,
        request_id: int,
        task: Lookup | Change | None,
        result: RegistryResult,
        outstanding: Outstanding,
        now: float,
    ) -> None:
        phase = self._phase_of(outstanding[1])
        cause = ""
        if task is None:
            echoed = len(result.content) == 1 and result.content[0].text == outstanding[3]
            cause = "" if echoed else "wrong_payload"
        elif isinstance(task, Lookup):
            cause = self._judge(task, result, self._times[phase]["stale"], now)
        elif task.kind == "cycle" and not task.given_up:
            task.given_up = True
            connection.write(self._line(named(connection), request_id))
            return
        elif result.node:
            named(connection).end_change(now)
        else:
            cause = "wrong_payload"
        response_us = self._settle(request_id, cause, now)
        if response_us is not None and task is not None:
            self._times[phase][task.kind].record(response_us)

    def _judge(self, lookup: Lookup, result: RegistryResult, stale: Recorder, now: float) -> str:
        """Why the answer to a look-up is wrong, if it is."""
        owner, since = lookup.owner, lookup.acked_at
        if not result.found:
            if not lookup.may_miss and owner.cycled_at < lookup.began:
                return self._mistaken(lookup, "lost", "", now)
            late, since = lookup.may_miss and lookup.named_at < lookup.began, lookup.named_at
        else:
            name, version = _who(result.value)
            if name != owner.name or not lookup.floor <= version <= owner.version or not self._is_at(lookup, result):
                return self._mistaken(lookup, "wrong", f"{result.value} at {result.node}", now)
            late = version < lookup.acked_version
        if late:
            stale.record(int((lookup.began - since) * 1e6))
        return ""

    def _is_at(self, lookup: Lookup, result: RegistryResult) -> bool:
        """Whether a look-up tells the node of the session, unless that has just moved."""
        connection = lookup.owner.connection
        assert connection is not None
        settled = lookup.owner.live and lookup.owner.moved_at < lookup.began - self.stale_s
        return not settled or result.node == self.nodes.get(connection.target)

    def _mistaken(self, lookup: Lookup, what: str, found: str, now: float) -> str:
        owner = lookup.owner
        if self._mistakes < _TOLD_MAX:
            self._mistakes += 1
            expected = f"{owner.name}#{lookup.floor}..{owner.version}"
            self._on_mistake(now, lookup.kind, owner.name, what, expected, found)
        return f"{what}_{lookup.kind}"

    def _take(self, request_id: int) -> Outstanding:
        taken = super()._take(request_id)
        if isinstance(self._tasks.pop(request_id, None), Change):
            named(taken[0]).change_id = 0
        return taken


def _second_id(request_id: int) -> int:
    """The id under which a cycle takes the name again, and the other way round."""
    return REGISTER_ID - request_id


def _refusal(task: Lookup | Change | None, error: Failure) -> str:
    return f"taken_{task.kind}" if task is not None and error.code == NAME_TAKEN else "rpc_error"


def _who(value: Any) -> tuple[str, int]:
    """The name and version in what was registered."""
    name, _, version = value.rpartition("#") if isinstance(value, str) else ("", "", "")
    return name, int(version) if version.isdecimal() else -1


def _none(t: float, target: str, session: int, operation: int, attempt: int, outcome: int | str) -> None:
    """There are no increments."""

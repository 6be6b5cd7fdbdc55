"""Sessions with a name: each registers its own before it counts as open, and knows what may be found under it."""

from __future__ import annotations

import math
import time
from typing import Protocol, cast

import msgspec

from c100k_loadgen.connection import Connection, Owner
from c100k_loadgen.messages import STATE_UNAVAILABLE
from c100k_loadgen.registry_messages import (
    NAME_TAKEN,
    REGISTER_ID,
    decode_registry_message,
    name_of,
    register_request,
    value_of,
)
from c100k_loadgen.resumable import ResumableConnection, ResumableSession


class Registrar(Owner, Protocol):
    """Who owns such connections hears of each registration: the target, its node, and how many seconds it took."""

    def registered(self, target: str, node: str, elapsed_s: float) -> None: ...


class NamedSession(ResumableSession):
    """A session that has registered `name`. Times are `time.monotonic` seconds.

    What it registers has a `version`, counted up with each change; `acked_version` is the last one that was
    acknowledged, at `acked_at`. One change is under way at a time, by the message `change_id`. While its outcome is not
    known, and for a while after, look-ups may find any version from `floor` on. In a cycle, from `cycled_at` to
    `named_at`, the name is given up and taken again, and look-ups may find nothing. `moved_at` is when the session
    last went on at another target.
    """

    __slots__ = (
        "acked_at",
        "acked_version",
        "change_id",
        "cycled_at",
        "floor",
        "moved_at",
        "name",
        "named",
        "named_at",
        "version",
    )

    def __init__(self, host: str, number: int) -> None:
        super().__init__(number)
        self.name = name_of(host, number)
        self.named = False
        self.version = self.acked_version = self.floor = self.change_id = 0
        self.acked_at = self.cycled_at = self.named_at = self.moved_at = -math.inf

    @property
    def change_known(self) -> bool:
        """Whether the outcome of its last change is known."""
        return self.acked_version == self.version

    @property
    def value(self) -> str:
        """What it registers now."""
        return value_of(self.name, self.version)

    def begin_change(self, now: float, stale_s: float, *, cycle: bool = False) -> None:
        """It is about to register something else."""
        if self.change_known and now - self.acked_at > stale_s:
            self.floor = self.acked_version
        self.version += 1
        if cycle:
            self.cycled_at, self.named_at = now, math.inf

    def end_change(self, now: float) -> None:
        """The newest version was acknowledged."""
        self.acked_version, self.acked_at = self.version, now
        if self.named_at == math.inf:
            self.named_at = now


class NamedConnection(ResumableConnection):
    """One of the connections of such a session. A new session registers its name there before it is live."""

    __slots__ = ("_registered_from",)

    def __init__(self, owner: Registrar, session: NamedSession, target: str, attempts: int, protocol: str) -> None:
        super().__init__(owner, session, target, attempts, protocol)
        self._registered_from = 0.0

    def _live(self) -> None:
        session = named(self)
        if session.named and session.known:
            super()._live()
            return
        self._registered_from = time.monotonic()
        session.version += 1
        self.write(register_request(REGISTER_ID, session.name, session.value))

    def _handshake(self, line: bytes) -> None:
        if not self._registered_from:
            super()._handshake(line)
            return
        try:
            answer = decode_registry_message(line)
        except msgspec.MsgspecError:
            self.fail("garbage")
            return
        if answer.method is not None and answer.id is None:
            return
        error = answer.error
        if error is not None and error.code == STATE_UNAVAILABLE:
            self.retry_after_s = error.retry_after_s
            self.fail("state_unavailable")
        elif error is not None and error.code == NAME_TAKEN:
            self.fail("name_taken")
        elif answer.id != REGISTER_ID or answer.result is None or not answer.result.node:
            self.fail("not_registered")
        else:
            now = time.monotonic()
            session = named(self)
            session.named = True
            session.end_change(now)
            cast(Registrar, self._owner).registered(self.target, answer.result.node, now - self._registered_from)
            super()._live()


def named(connection: Connection) -> NamedSession:
    """The session of a connection of one who has no others."""
    session = cast(NamedConnection, connection).session
    assert isinstance(session, NamedSession)
    return session

"""A session in Redis, in the hands of the worker that owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from c100k_server.authentication import Principal
from c100k_server.redis import CommandError, StateUnavailableError
from c100k_server.state import scripts
from c100k_server.state.values import SessionValues

if TYPE_CHECKING:
    from c100k_server.outlet import StandingOutlet
    from c100k_server.state.store import SessionStore

# Called with None, or why it could not be.
Settled: TypeAlias = Callable[[Exception | None], None]


class SessionMovedError(Exception):
    """Another worker has claimed the session since, or its lease has run out."""


class Profile(msgspec.Struct, omit_defaults=True):
    """What a client said of itself when it initialized."""

    version: str
    capabilities: dict[str, Any] = {}
    principal: Principal | None = None


_encode_profile = msgspec.json.Encoder().encode
_decode_profile = msgspec.json.Decoder(Profile).decode


class StoredSession:
    """The owner reads its own copy, and writes through. What a request has changed must be `settle`d before it is
    answered: an answer is a promise that two hosts keep.

    A write that failed is made again with the next one: nobody else writes while this is the owner, so its own copy
    is right whether the failed write was done or not.
    """

    __slots__ = (
        "_changed",
        "_store",
        "_waiting",
        "_writing",
        "confirmed",
        "id",
        "inbox_id",
        "keys",
        "log_level",
        "names",
        "on_moved",
        "outlet",
        "owner",
        "profile",
        "subscriptions",
        "told_id",
        "values",
        "version",
    )

    def __init__(
        self, store: SessionStore, session_id: str, owner: str, profile: Profile, *, confirmed: bool = True
    ) -> None:
        self._store = store
        # Whether two hosts are known to have what was read.
        self.confirmed = confirmed
        self.id = session_id
        self.keys = session_keys(session_id)
        self.owner = owner
        self.profile = profile
        self.version = 0
        self.log_level = "info"
        self.subscriptions: list[str] = []
        self.values = SessionValues()
        # The last message of its inbox that went to the client.
        self.inbox_id = b"0-0"
        # The last event of the cluster that the client was told of, or had no need to be.
        self.told_id = b"0-0"
        # Its names in the registry, and what is registered under each.
        self.names: dict[str, bytes] = {}
        # What to do when it is no longer ours.
        self.on_moved: Callable[[], None] | None = None
        # Where its client can be told of what lies in the inbox.
        self.outlet: StandingOutlet | None = None
        self._changed: dict[str, bytes | None] = {}
        self._waiting: list[Settled] = []
        self._writing = False

    @classmethod
    def read(cls, store: SessionStore, session_id: str, owner: str, flat: list[bytes]) -> StoredSession:
        """From the fields and values of its hash, which a master alone may have."""
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        session = cls(store, session_id, owner, _decode_profile(fields.pop(b"p")), confirmed=False)
        session.version = int(fields.pop(b"v"))
        session.log_level = fields.pop(b"l", b"info").decode()
        values = {}
        for field, value in fields.items():
            kind, colon, name = field.partition(b":")
            if kind == b"a" and colon:
                values[name.decode()] = value
            elif kind == b"u" and colon:
                session.subscriptions.append(name.decode())
            elif kind == b"n" and colon:
                session.names[name.decode()] = value
        session.values = SessionValues(values)
        return session

    @property
    def position(self) -> bytes:
        """How far its client has been told of everything."""
        return b"%b/%b" % (self.inbox_id, self.told_id)

    def encode_profile(self) -> bytes:
        return _encode_profile(self.profile)

    def set_log_level(self, level: str) -> None:
        self._changed["l"] = level.encode()

    def subscribe(self, uri: str) -> None:
        self._changed[f"u:{uri}"] = b""

    def unsubscribe(self, uri: str) -> None:
        self._changed[f"u:{uri}"] = None

    def set_name(self, name: str, record: bytes) -> None:
        self.names[name] = record
        self._changed[f"n:{name}"] = record

    def discard_name(self, name: str) -> None:
        self.names.pop(name, None)
        self._changed[f"n:{name}"] = None

    def settle(self, done: Settled) -> None:
        """Have all changes written, or make sure that this is still the owner when there are none; and that two hosts
        have what it says."""
        self._waiting.append(done)
        if not self._writing:
            self._write()

    def renew(self) -> None:
        """Prolong the lease."""
        if not self._writing:
            renewed = self._store.redis.script(scripts.RENEW, self.keys, (self.owner, self._store.lease_ms))
            renewed.add_done_callback(self._renewed)

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, []
        changed, self._changed = self._changed, {}
        values = self.values.changed
        while values:
            # One by one: threads may be adding.
            name, value = values.popitem()
            changed[f"a:{name}"] = value
        self._writing = True
        store = self._store
        if changed:
            self.version += 1
            deleted = [field for field, value in changed.items() if value is None]
            args: list[Any] = [self.owner, store.lease_ms, self.version, len(deleted), *deleted]
            for field, value in changed.items():
                if value is not None:
                    args += (field, value)
            written = store.redis.script(scripts.WRITE, self.keys, args, durable=True)
        else:
            written = store.redis.script(
                scripts.RENEW, self.keys, (self.owner, store.lease_ms), durable=not self.confirmed
            )
        written.add_done_callback(partial(self._written, waiting, changed))

    def _written(self, waiting: list[Settled], changed: dict[str, bytes | None], written: asyncio.Future[Any]) -> None:
        self._writing = False
        problem = _problem(written)
        if problem is not None:
            for field, value in changed.items():
                self._changed.setdefault(field, value)
        else:
            self.confirmed = True
        for done in waiting:
            done(problem)
        if isinstance(problem, SessionMovedError):
            self._store.moved(self)
        # Whoever was told may have asked for the next write already.
        if self._waiting and not self._writing:
            self._write()

    def _renewed(self, renewed: asyncio.Future[Any]) -> None:
        # Whether Redis is there is asked again in time: leases are three times as long.
        if isinstance(_problem(renewed), SessionMovedError):
            self._store.moved(self)


def _problem(outcome: asyncio.Future[Any]) -> Exception | None:
    """Why an operation did not do what it should."""
    if outcome.cancelled():
        return StateUnavailableError("the server is stopping")
    error = outcome.exception()
    if isinstance(error, StateUnavailableError | CommandError):
        return error
    return SessionMovedError("this session is elsewhere by now") if outcome.result() == scripts.FENCED else None


def session_keys(session_id: str) -> tuple[str, str]:
    """Those of the session and its inbox, in one slot."""
    key = f"c100k:s:{{{session_id}}}"
    return key, f"{key}:in"

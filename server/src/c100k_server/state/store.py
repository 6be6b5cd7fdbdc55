"""The sessions of a cluster, as one worker sees them."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from c100k_server.redis import StateUnavailableError
from c100k_server.state import scripts
from c100k_server.state.stored_session import Profile, SessionMovedError, StoredSession, session_keys

if TYPE_CHECKING:
    from c100k_server.redis.cluster import Cluster

# A lease is renewed so often while it lasts.
RENEWALS = 3
BEATS_PER_S = 4
# How long a client that comes back may be kept waiting: rather than have it ask again and again while a master fails
# over, which takes about three seconds.
CLAIM_TIMEOUT_S = 4.0
# When what was claimed is confirmed if nobody needed that before: not while others still wait to be claimed. And how
# many at each beat.
CONFIRM_AFTER_S = 5
CONFIRMATIONS = 25


class Claimed(msgspec.Struct):
    """A session that is this worker's by now, and the messages that its client has not seen, by their ids."""

    session: StoredSession
    messages: list[tuple[bytes, bytes]]


class Spared(msgspec.Struct):
    """A session that `owner` keeps: a worker of this node, to which the client's connection can be given."""

    owner: str


# None for no such session.
Claim: TypeAlias = Claimed | Spared | Exception | None


class Figures:
    """What has become of sessions, in totals."""

    __slots__ = ("claimed", "created", "fenced")

    def __init__(self) -> None:
        self.created = 0
        self.claimed = 0
        self.fenced = 0


class NameKeeper(Protocol):
    """Looks after the names of sessions in the registry."""

    def announce(self, session: StoredSession) -> None:
        """Say that its names are here now."""

    def renew(self, session: StoredSession) -> None:
        """Prolong the leases of its names."""

    def release(self, session: StoredSession) -> asyncio.Future[Any]:
        """Remove its names, for it is closed."""


class SessionStore:
    """`beat` must be called `BEATS_PER_S` times a second.

    `node` names this host in the cluster, and with `worker` and `boot` one life of a worker of it; `lives` says whether
    one of this node goes on. Without `is_member` it takes no sessions.
    """

    def __init__(
        self,
        redis: Cluster,
        node: str,
        worker: int,
        boot: int,
        lease_s: float,
        lives: Callable[[int, int], bool],
        is_member: Callable[[], bool],
    ) -> None:
        self.redis = redis
        self.lease_ms = int(lease_s * 1000)
        self.figures = Figures()
        # Owners of this node begin with it.
        self.node_prefix = f"{node}/"
        # Names this worker's life, and its owners begin with it.
        self.life = f"{node}/{worker}.{boot:x}"
        self._prefix = f"{self.life}."
        self._lives = lives
        self._claims = 0
        # Renewals are spread evenly: at each beat it is the turn of those in one place of a wheel.
        places = max(1, int(lease_s / RENEWALS * BEATS_PER_S))
        self._wheel: list[set[StoredSession]] = [set() for _ in range(places)]
        self._place = 0
        self._places: dict[StoredSession, int] = {}

        # Those that were claimed, and it has yet to be made sure that two hosts know of it; by the beat to do so at.
        self._unconfirmed: deque[tuple[int, StoredSession]] = deque()
        self._beats = 0
        # Those that are here, by their id and by their names.
        self.held: dict[str, StoredSession] = {}
        self.names: dict[str, StoredSession] = {}
        # Who looks after names.
        self.names_of: NameKeeper | None = None
        # Whether this node is one of the cluster, and may take sessions.
        self.is_member = is_member

    def __len__(self) -> int:
        return len(self._places)

    def new_id(self) -> str:
        """An id for a session that is not to be guessed."""
        return secrets.token_hex(16)

    def create(self, session_id: str, profile: Profile, done: Callable[[StoredSession | Exception], None]) -> None:
        """Store a new session, durably."""
        if not self.is_member():
            self._refuse(done)
            return
        session = StoredSession(self, session_id, self._new_owner(), profile)
        created = self.redis.script(
            scripts.CREATE, session.keys, (session.owner, self.lease_ms, "p", session.encode_profile()), durable=True
        )
        created.add_done_callback(partial(self._created, session, done))

    def claim(self, session_id: str, after: bytes, done: Callable[[Claim], None], *, spare_node: bool = False) -> None:
        """Make a session this worker's, whoever had it; with `spare_node`, unless a worker of this node has it.

        Messages of its inbox come along from `after` on, an id of it. That two hosts have what was read is made sure of
        by the first `settle`, or soon: nobody waits for a replica who is told nothing of it yet.
        """
        if not self.is_member():
            self._refuse(done)
            return
        self._claim(session_id, after, self.node_prefix if spare_node else "", done, durable=False)

    def _claim(
        self, session_id: str, after: bytes, spared: str, done: Callable[[Claim], None], *, durable: bool
    ) -> None:
        owner = self._new_owner()
        args = (owner, self.lease_ms, after, spared)
        claimed = self.redis.script(
            scripts.CLAIM, session_keys(session_id), args, durable=durable, timeout_s=CLAIM_TIMEOUT_S
        )

        def answered(claimed: asyncio.Future[Any]) -> None:
            if not durable and not claimed.cancelled() and claimed.exception() is None and claimed.result() is None:
                # That there is none is not for one master to say, which may have been cut off.
                self._claim(session_id, after, spared, done, durable=True)
            else:
                self._claimed(session_id, owner, done, claimed)

        claimed.add_done_callback(answered)

    def close(self, session: StoredSession) -> asyncio.Future[Any]:
        """Remove a session for good, and its names."""
        self.forget(session)
        closed = self.redis.script(scripts.CLOSE, session.keys, (session.owner,), durable=True)
        if session.names and self.names_of is not None:
            return asyncio.ensure_future(self._release(session, self.names_of, closed))
        return closed

    def post(self, session_id: str, name: str, message: bytes) -> asyncio.Future[Any]:
        """Leave a message, durably, for the client of a session that has a name; its id in the inbox and the owner of
        the session, or None if there is no such session."""
        return self.redis.script(
            scripts.POST, session_keys(session_id), (message, secrets.token_bytes(8), name), durable=True
        )

    def inbox(self, session: StoredSession, after: bytes) -> asyncio.Future[Any]:
        """Its messages after an id, each an id and its fields."""
        inbox = session.keys[1]
        return self.redis.execute(inbox, "XRANGE", inbox, b"(" + after, "+")

    def keeper(self, owner: str) -> int | None:
        """The worker of this node that an owner is, if it is another one and lives."""
        worker, boot, _ = owner.removeprefix(self.node_prefix).split(".")
        if owner.startswith(self._prefix) or not self._lives(int(worker), int(boot, 16)):
            return None
        return int(worker)

    def forget(self, session: StoredSession) -> None:
        """Leave a session to whoever claims it, or to the end of its lease."""
        place = self._places.pop(session, None)
        if place is not None:
            self._wheel[place].discard(session)
            if self.held.get(session.id) is session:
                del self.held[session.id]
            for name in session.names:
                if self.names.get(name) is session:
                    del self.names[name]

    def moved(self, session: StoredSession) -> None:
        """A session turned out to be another's."""
        if session in self._places:
            self.figures.fenced += 1
            self.forget(session)
            if session.on_moved is not None:
                session.on_moved()

    def beat(self) -> None:
        """Renew the leases whose turn it is, and confirm what was claimed."""
        self._place = (self._place + 1) % len(self._wheel)
        for session in list(self._wheel[self._place]):
            session.renew()
            if session.names and self.names_of is not None:
                self.names_of.renew(session)
        self._beats += 1
        self._confirm_some()

    def _new_owner(self) -> str:
        self._claims += 1
        return f"{self._prefix}{self._claims}"

    def _hold(self, session: StoredSession) -> None:
        place = self._places[session] = random.randrange(len(self._wheel))
        self._wheel[place].add(session)
        self.held[session.id] = session
        for name in session.names:
            self.names[name] = session
        if session.names and self.names_of is not None:
            self.names_of.announce(session)

    async def _release(self, session: StoredSession, names: NameKeeper, closed: asyncio.Future[Any]) -> Any:
        outcome = await closed
        if outcome != scripts.FENCED:
            await names.release(session)
        return outcome

    def _refuse(self, done: Callable[[Exception], None]) -> None:
        error = StateUnavailableError("this node is cut off from the cluster")
        asyncio.get_running_loop().call_soon(done, error)

    def _created(
        self,
        session: StoredSession,
        done: Callable[[StoredSession | Exception], None],
        created: asyncio.Future[Any],
    ) -> None:
        error = None if created.cancelled() else created.exception()
        if isinstance(error, Exception):
            done(error)
            return
        self.figures.created += 1
        self._hold(session)
        done(session)

    def _claimed(
        self, session_id: str, owner: str, done: Callable[[Claim], None], claimed: asyncio.Future[Any]
    ) -> None:
        error = None if claimed.cancelled() else claimed.exception()
        if isinstance(error, Exception):
            done(error)
            return
        reply = claimed.result()
        if reply is None:
            done(None)
        elif len(reply) == 1:
            done(Spared(reply[0].decode()))
        else:
            _, fields, entries = reply
            session = StoredSession.read(self, session_id, owner, fields)
            outcome = Claimed(session, [(entry_id, content[1]) for entry_id, content in entries])
            if entries:
                # The client will count from their ids, which another master must not give to other messages.
                session.settle(partial(self._take, outcome, done))
            else:
                self._take(outcome, done, None)

    def _take(self, claimed: Claimed, done: Callable[[Claim], None], problem: Exception | None) -> None:
        """Hold a session that was claimed, unless there was a problem."""
        if problem is None:
            self._hold(claimed.session)
            self.figures.claimed += 1
            if not claimed.session.confirmed:
                self._confirm_later(claimed.session)
            done(claimed)
        else:
            moved = isinstance(problem, SessionMovedError)
            done(StateUnavailableError("another worker was faster") if moved else problem)

    def _confirm_some(self) -> None:
        """Make sure of some sessions that two hosts know whose they are. One that is another's by now moves."""
        left = CONFIRMATIONS
        while left and self._unconfirmed and self._unconfirmed[0][0] <= self._beats:
            _, session = self._unconfirmed.popleft()
            if session in self._places and not session.confirmed:
                left -= 1
                session.settle(partial(self._tried_to_confirm, session))

    def _tried_to_confirm(self, session: StoredSession, problem: Exception | None) -> None:
        if problem is not None:
            self._confirm_later(session)

    def _confirm_later(self, session: StoredSession) -> None:
        self._unconfirmed.append((self._beats + CONFIRM_AFTER_S * BEATS_PER_S, session))

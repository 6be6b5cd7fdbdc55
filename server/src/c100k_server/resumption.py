"""Sessions that outlive their connection: stored when they begin, and carried on wherever the client comes back.

A client that offers the experimental capability `c100k/resume` is told a session id and an event id. On any later
connection, to any node of the cluster, its first message may be the request `c100k/resume` with both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from c100k_server.jsonrpc import (
    INTERNAL_ERROR,
    SESSION_MOVED,
    SESSION_NOT_FOUND,
    STATE_UNAVAILABLE,
    RequestError,
    encode,
)
from c100k_server.redis import OutcomeUnknownError, StateUnavailableError
from c100k_server.state.ids import is_session_id, read_event_id
from c100k_server.state.store import Claimed
from c100k_server.state.stored_session import SessionMovedError, StoredSession
from c100k_server.subscriptions import BROADCAST, LISTS, Event

if TYPE_CHECKING:
    from c100k_server.service import Service

CAPABILITY = "c100k/resume"
REGISTRY_CAPABILITY = "c100k/registry"
METHOD = "c100k/resume"
# When a client that was told that the state is unavailable had best try again.
RETRY_AFTER_MS = 200


class _ResumeParams(msgspec.Struct, rename="camel"):
    session_id: str
    last_event_id: str | None = None


_decode_params = msgspec.json.Decoder(_ResumeParams).decode


def offers_resumption(capabilities: Mapping[str, Any]) -> bool:
    """Whether a client wants its session to outlive the connection."""
    return _offers(capabilities, CAPABILITY)


def hears_broadcasts(capabilities: Mapping[str, Any]) -> bool:
    """Whether a client knows what other clients may send it."""
    return _offers(capabilities, REGISTRY_CAPABILITY)


def _offers(capabilities: Mapping[str, Any], capability: str) -> bool:
    experimental = capabilities.get("experimental")
    return isinstance(experimental, dict) and capability in experimental


def read_resume(params: msgspec.Raw) -> tuple[str, tuple[bytes, bytes] | None]:
    """Which session to resume, and after what. Raises `RequestError`, and what msgspec raises."""
    decoded = _decode_params(params)
    if not is_session_id(decoded.session_id):
        raise no_such_session()
    return decoded.session_id, read_event_id(decoded.last_event_id or "")


def no_such_session() -> RequestError:
    return RequestError(SESSION_NOT_FOUND, "there is no such session (any more): initialize again")


def as_request_error(error: Exception) -> RequestError:
    """What a client is told when its session could not be used."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, SessionMovedError):
        return RequestError(SESSION_MOVED, f"{error}: resume it, and ask again")
    if isinstance(error, StateUnavailableError):
        known = "it may have been done" if isinstance(error, OutcomeUnknownError) else "it has not been done"
        reason = f"the state of sessions is not available, {known}: ask again"
        return RequestError(STATE_UNAVAILABLE, reason, {"retryAfterMs": RETRY_AFTER_MS})
    return RequestError(INTERNAL_ERROR, "the server failed to keep this session")


def event_id(service: Service, session: StoredSession) -> bytes:
    """Where the client of a session is by now: in its inbox, and in the events of the cluster."""
    if service.events is not None:
        session.told_id = service.events.last_id
    return session.position


def position_member(inbox_id: bytes, cluster_id: bytes) -> bytes:
    """The `_meta` member of a notification that lets a client say how far it came."""
    return b'"_meta":{"c100k/eventId":"%b/%b"}' % (inbox_id, cluster_id)


def welcome(service: Service, session: StoredSession, result: bytes) -> bytes:
    """The result of `initialize`, with what the client needs to come back."""
    meta = encode({"c100k/sessionId": session.id, "c100k/eventId": event_id(service, session).decode()})
    return b'%b,"_meta":%b}' % (result[:-1], meta)


def missed_messages(service: Service, claimed: Claimed, after: tuple[bytes, bytes] | None) -> list[tuple[bytes, bytes]]:
    """What a client that comes back has yet to hear, in lines, each with its event id: first its inbox, and then what
    has changed in the cluster."""
    session = claimed.session
    events = service.events
    seen = after[1] if after is not None else (b"0-0" if events is None else events.last_id)
    missed: list[tuple[bytes, bytes]] = []
    if after is not None:
        session.inbox_id = after[0]
    for inbox_id, message in claimed.messages:
        session.inbox_id = inbox_id
        missed.append((with_meta(message, position_member(inbox_id, seen)), b"%b/%b" % (inbox_id, seen)))
    if after is None or events is None:
        return missed
    subscribed = {f"uri:{uri}" for uri in session.subscriptions}
    lists = LISTS if service.app.list_changed else ()
    broadcasts = hears_broadcasts(session.profile.capabilities)
    for topic, at in events.since(after[1]):
        told = [topic] if topic in subscribed or topic in LISTS or (broadcasts and topic.startswith(BROADCAST)) else []
        if not topic:
            told = [*lists, *sorted(subscribed)]
        for each in told:
            line = Event(each, at).tagged(position_member(session.inbox_id, at))
            missed.append((line, b"%b/%b" % (session.inbox_id, at)))
    return missed


def with_meta(message: bytes, member: bytes) -> bytes:
    """A notification from an inbox, as a line, with a `_meta` member in its params."""
    decoded: dict[str, Any] = msgspec.json.decode(message)
    params = decoded.get("params") or {}
    params["_meta"] = {**params.get("_meta", {}), **msgspec.json.decode(b"{%b}" % member)["_meta"]}
    return encode({**decoded, "params": params}) + b"\n"

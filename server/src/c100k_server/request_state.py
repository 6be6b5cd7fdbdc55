"""`requestState` of 2026-07-28: what a server wants to know again when the client retries, kept by the client.

Its integrity is protected by a key that all nodes of a cluster share, so that any of them can take the retry, and
it is bound to one request and to who made it, and expires.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any

import msgspec

from c100k_server.jsonrpc import INVALID_PARAMS, RequestError

KEY_BYTES = 32
LIFETIME_S = 3600.0
STATE_MAX_BYTES = 256 * 1024


class _State(msgspec.Struct, array_like=True):
    expires_at: float
    binding: bytes
    answers: dict[str, Any]


_decode = msgspec.json.Decoder(_State).decode


def binding(*facts: object) -> bytes:
    """What a state is bound to, as a digest of a JSON value that does not depend on the order of keys."""
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).digest()[:16]


def seal(key: bytes, bound_to: bytes, answers: dict[str, Any]) -> str:
    """The state to give to the client."""
    payload = msgspec.json.encode(_State(time.time() + LIFETIME_S, bound_to, answers))
    return base64.urlsafe_b64encode(_mac(key, payload) + payload).decode()


def unseal(key: bytes, bound_to: bytes, state: str) -> dict[str, Any]:
    """The answers in a state that came back. Raises `RequestError` unless it is ours, for this, and in time."""
    if len(state) > STATE_MAX_BYTES:
        raise RequestError(INVALID_PARAMS, f"requestState is longer than {STATE_MAX_BYTES} bytes")
    try:
        sealed = base64.b64decode(state.encode("ascii"), altchars=b"-_", validate=True)
    except ValueError:
        raise RequestError(INVALID_PARAMS, "requestState is not what this server gave") from None
    payload = sealed[32:]
    if not hmac.compare_digest(sealed[:32], _mac(key, payload)):
        raise RequestError(INVALID_PARAMS, "requestState is not what this server gave")
    opened = _decode(payload)
    if not hmac.compare_digest(opened.binding, bound_to):
        raise RequestError(INVALID_PARAMS, "requestState belongs to another request")
    if opened.expires_at < time.time():
        raise RequestError(INVALID_PARAMS, "requestState has expired; start the request again")
    return opened.answers


def _mac(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, payload, "sha256")

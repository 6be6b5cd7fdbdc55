"""How a conversation begins over what has messages only, no requests of its own: TCP, stdio, WebSocket."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from c100k_loadgen.messages import (
    FIRST_ID,
    INITIALIZED,
    STATELESS_REVISION,
    accepts,
    decode_discover,
    decode_initialize,
    discover_request,
    initialize_request,
)


class Opening(NamedTuple):
    """The first request, whether a message accepts it, and what is sent then.

    `accepted` is None for a message that is no answer: a server may notify (its log, say) before it answers. It raises
    `msgspec.MsgspecError` for what is no message.
    """

    request: bytes
    accepted: Callable[[bytes], bool | None]
    confirmation: bytes


@functools.cache
def opening_of(protocol: str) -> Opening:
    """`initialize` opens a session; where there are none, `server/discover` shows that the server is there."""
    if protocol == STATELESS_REVISION:
        return Opening(discover_request(), _discovered, b"")
    return Opening(initialize_request(protocol), lambda message: _initialized(message, protocol), INITIALIZED)


def _initialized(message: bytes, protocol: str) -> bool | None:
    answer = decode_initialize(message)
    if answer.method is not None and answer.id is None:
        return None
    return accepts(answer, protocol)


def _discovered(message: bytes) -> bool | None:
    answer = decode_discover(message)
    if answer.method is not None and answer.id is None:
        return None
    result = answer.result
    return answer.id == FIRST_ID and result is not None and STATELESS_REVISION in result.supportedVersions

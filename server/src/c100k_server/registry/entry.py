"""What is registered under a name, and what may be: all of it is bounded."""

from __future__ import annotations

import msgspec

from c100k_server.errors import RegistryError
from c100k_server.jsonrpc import INVALID_PARAMS, NAME_NOT_FOUND, NAME_TAKEN

NAME_MAX_BYTES = 256
VALUE_MAX_BYTES = 4096
MESSAGE_MAX_BYTES = 4096
# Every worker remembers the last broadcasts for clients that come back.
BROADCAST_MAX_BYTES = 1024
# Names of one session.
NAMES_MAX = 64
# How many aliases lead to a name at most.
ALIASES_MAX = 4
PAGE_DEFAULT = 100
PAGE_MAX = 1000


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a session says under one of its names: a value, or the name that this one is an alias of."""

    value: msgspec.Raw
    target: str | None = None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A name that is registered, and whose it is."""

    session_id: str
    node: str
    record: Record


class Found(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The answer to a look-up that found something. Who may send to a session may not resume it: its id is not told."""

    name: str
    node: str
    value: msgspec.Raw
    # What an alias leads to.
    bound_to: str | None = None
    # By a factory, as are the names of a page: defaults are left out.
    found: bool = msgspec.field(default_factory=lambda: True)


class Page(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Names in their order, and where to go on."""

    names: list[str] = msgspec.field(default_factory=lambda: [])
    next_cursor: str | None = None


encode_record = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(Record).decode


def check_name(name: str, what: str = "name") -> None:
    """Raises `RegistryError`."""
    if not name or len(name.encode()) > NAME_MAX_BYTES or not name.isprintable():
        raise RegistryError(INVALID_PARAMS, f"a {what} must be 1 to {NAME_MAX_BYTES} bytes of printable text")


def check_size(content: bytes, maximum: int, what: str) -> None:
    """Raises `RegistryError`."""
    if len(content) > maximum:
        raise RegistryError(INVALID_PARAMS, f"a {what} may have {maximum} bytes as JSON")


def name_taken(name: str) -> RegistryError:
    return RegistryError(NAME_TAKEN, f"another session has the name {name!r}")


def no_such_name(name: str) -> RegistryError:
    return RegistryError(NAME_NOT_FOUND, f"nobody has the name {name!r}")

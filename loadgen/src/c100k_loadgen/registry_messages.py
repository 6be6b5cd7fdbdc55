"""The messages of the registry workload: names that sessions register and look up.

Names are of letters, digits and `.-_/`, so no message of them needs escaping.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from c100k_loadgen.messages import Content, Failure, Positioned

#: The id of the registration that comes between the handshake and the first call.
REGISTER_ID = -1

#: Another session has the name.
NAME_TAKEN = -32005

_METHOD = '"method":"c100k/registry/'


class RegistryResult(msgspec.Struct, gc=False):
    """What `echo` answers, or what the registry does: where a name is, and what is registered under it."""

    content: list[Content] = []
    isError: bool = False
    node: str = ""
    found: bool = False
    value: Any = None


class RegistryMessage(msgspec.Struct, gc=False):
    """A message from the server to a session that has a name."""

    jsonrpc: Literal["2.0"]
    id: int | str | None = None
    method: str | None = None
    params: Positioned | None = None
    result: RegistryResult | None = None
    error: Failure | None = None


decode_registry_message = msgspec.json.Decoder(RegistryMessage).decode


def name_of(host: str, session: int) -> str:
    """The name that a session has to itself."""
    return f"{host}/{session}"


def contested_name(number: int) -> str:
    """A name that sessions of all generators want."""
    return f"contested/{number}"


def value_of(name: str, version: int) -> str:
    """What a session registers: who it is, and how often it has said so."""
    return f"{name}#{version}"


def find_request(request_id: int, name: str) -> bytes:
    return f'{{"jsonrpc":"2.0","id":{request_id},{_METHOD}find","params":{{"name":"{name}"}}}}\n'.encode("ascii")


def register_request(request_id: int, name: str, value: str) -> bytes:
    return (
        f'{{"jsonrpc":"2.0","id":{request_id},{_METHOD}register","params":{{"name":"{name}","value":"{value}"}}}}\n'
    ).encode("ascii")


def unregister_request(request_id: int, name: str) -> bytes:
    return f'{{"jsonrpc":"2.0","id":{request_id},{_METHOD}unregister","params":{{"name":"{name}"}}}}\n'.encode("ascii")

"""`x-mcp-header` of 2026-07-28: arguments of a tool that clients repeat as `Mcp-Param-*` headers, for routers."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from c100k_server.jsonrpc import HEADER_MISMATCH, RequestError

_WRAPPED = re.compile(r"=\?base64\?(.*)\?=")


class ParamHeader(msgspec.Struct, frozen=True):
    """The argument at `path`, a chain of property names, is repeated in `header`, which is in lower case."""

    path: tuple[str, ...]
    header: str


def read_param_headers(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> tuple[ParamHeader, ...]:
    """The headers that a schema asks for, on its properties and theirs. Raises `TypeError` for a wrong type."""
    found: list[ParamHeader] = []
    for name, property_schema in schema.get("properties", {}).items():
        if not isinstance(property_schema, dict):
            continue
        if header := property_schema.get("x-mcp-header"):
            if property_schema.get("type") not in ("string", "integer", "boolean"):
                raise TypeError(f"x-mcp-header {header!r}: only strings, integers and booleans can be in a header")
            found.append(ParamHeader((*path, name), f"mcp-param-{header.lower()}"))
        found.extend(read_param_headers(property_schema, (*path, name)))
    return tuple(found)


def decode_header(value: str) -> str | None:
    """A header's value, which may be wrapped as base64; None when the wrapping is broken."""
    wrapped = _WRAPPED.fullmatch(value)
    if wrapped is None:
        return value
    try:
        decoded = base64.b64decode(wrapped[1], validate=True)
        # Python tolerates stray bits at the end; the same value must not have two spellings.
        return decoded.decode() if base64.b64encode(decoded).decode() == wrapped[1] else None
    except ValueError:
        return None


def check_param_headers(expected: tuple[ParamHeader, ...], arguments: Any, headers: Mapping[str, str]) -> None:
    """Raises `RequestError` when a header does not repeat its argument."""
    for each in expected:
        value = arguments
        for name in each.path:
            value = value.get(name) if isinstance(value, dict) else None
        given = headers.get(each.header)
        if value is None and given is None:
            continue
        if value is None or given is None or decode_header(given) != _as_header(value):
            raise RequestError(HEADER_MISMATCH, f"{each.header} is not the argument {'.'.join(each.path)}")


def _as_header(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

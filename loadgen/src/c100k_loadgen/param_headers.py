"""`x-mcp-header` of 2026-07-28: arguments of a tool that are repeated as `Mcp-Param-*` headers, for routers."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

#: A header's name by RFC 9110, section 5.1.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TYPES = ("string", "integer", "boolean")
#: Visible ASCII with spaces and tabs within.
_PLAIN = re.compile(r"[!-~]([\t -~]*[!-~])?")
_WRAPPED = re.compile(r"=\?base64\?.*\?=")


def headers_of(schema: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """What an `inputSchema` asks for: by the name of each header the path of its argument, a chain of properties."""
    found: dict[str, list[str]] = {}
    properties = schema.get("properties")
    for name, each in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(each, dict):
            continue
        header = each.get("x-mcp-header")
        if isinstance(header, str) and _TOKEN.fullmatch(header) and each.get("type") in _TYPES:
            found[f"Mcp-Param-{header}"] = [*path, name]
        found.update(headers_of(each, (*path, name)))
    return found


def argument_at(arguments: Mapping[str, Any], path: list[str]) -> str | None:
    """An argument as a header says it; None when there is nothing to be said."""
    value: Any = arguments
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def header_line(name: str, value: str) -> bytes:
    """The header. What cannot stand in one as it is, or would be taken for something else, goes as base64."""
    if not _PLAIN.fullmatch(value) or _WRAPPED.fullmatch(value):
        value = f"=?base64?{base64.b64encode(value.encode()).decode()}?="
    return f"{name}: {value}\r\n".encode("ascii")

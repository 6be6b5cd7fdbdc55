"""JSON Schema 2020-12 of Python types."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import msgspec


def output_schema(returns: Any) -> dict[str, Any] | None:
    """The schema of the structured output of a function, or None when it has none: MCP wants objects."""
    origin = typing.get_origin(returns)
    structured = (
        (isinstance(returns, type) and (issubclass(returns, msgspec.Struct) or dataclasses.is_dataclass(returns)))
        or typing.is_typeddict(returns)
        or (origin is dict and typing.get_args(returns)[0] is str)
    )
    if not structured or (isinstance(returns, type) and returns.__module__ == "c100k_server.content"):
        return None
    return object_schema(returns)


def object_schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a type whose JSON is an object, with the types that it refers to under `$defs`."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    if "$ref" in schema:
        # The object itself stands at the top, where MCP looks for its type.
        schema = components.pop(schema["$ref"].rpartition("/")[2])
    schema.pop("title", None)
    return {**schema, "$defs": components} if components else schema

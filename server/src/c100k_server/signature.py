"""What a function takes and gives, read from its type hints: how to decode its arguments, and their JSON Schema."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from c100k_server.context import Context
from c100k_server.json_schema import object_schema

_NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}


class Signature(msgspec.Struct, frozen=True):
    """`arguments` has a field for each parameter, and is None for a function that takes all as one dict.

    `decode` makes keyword arguments of an encoded JSON object, raising `msgspec.ValidationError` with the place of
    what is wrong. `context` is the parameter that wants the context, if one does.
    """

    arguments: type[msgspec.Struct] | None
    decode: Callable[[bytes], dict[str, Any]]
    input_schema: dict[str, Any]
    context: str | None
    parameters: tuple[str, ...]
    required: frozenset[str]
    types: dict[str, Any]
    returns: Any
    is_async: bool


def read_signature(function: Callable[..., Any], input_schema: dict[str, Any] | None = None) -> Signature:
    """Read `function`. With an `input_schema` of its own it gets its arguments as one dict, and checks them itself.

    Raises `TypeError` for a function that cannot be called with named arguments.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    context = None
    names = []
    for name, parameter in inspect.signature(function).parameters.items():
        annotation = hints.get(name, Any)
        if annotation is Context:
            context = name
            continue
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise TypeError(f"{function.__name__}: {parameter} cannot be given by name")
        names.append(name)
        if parameter.default is parameter.empty:
            fields.append((name, annotation))
        else:
            fields.append((name, annotation, _default(parameter.default)))
    required = frozenset(field[0] for field in fields if len(field) == 2)
    arguments: type[msgspec.Struct] | None = None
    if input_schema is not None:
        if len(names) != 1:
            raise TypeError(f"{function.__name__}: with an input_schema it takes one parameter, the arguments")
        decode = _decode_whole(names[0])
        schema = input_schema
    else:
        arguments = msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=True, gc=False)
        decode = _decode_fields(arguments, tuple(names))
        schema = object_schema(arguments) if names else _NO_ARGUMENTS
    return Signature(
        arguments=arguments,
        decode=decode,
        input_schema=schema,
        context=context,
        parameters=tuple(names),
        required=required,
        types=typing.get_type_hints(function),
        returns=hints.get("return", Any),
        is_async=inspect.iscoroutinefunction(function),
    )


def _decode_fields(arguments: type[msgspec.Struct], names: tuple[str, ...]) -> Callable[[bytes], dict[str, Any]]:
    decode = msgspec.json.Decoder(arguments).decode

    def decode_fields(encoded: bytes) -> dict[str, Any]:
        decoded = decode(encoded)
        return {name: getattr(decoded, name) for name in names}

    return decode_fields


def _decode_whole(name: str) -> Callable[[bytes], dict[str, Any]]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return lambda encoded: {name: decode(encoded)}


def _default(value: Any) -> Any:
    # A mutable default is shared between calls in Python, and copied for each here.
    if isinstance(value, list | dict | set):
        return msgspec.field(default_factory=lambda: type(value)(value))
    return value

"""The tools that clients may call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from c100k_server.jsonrpc import encode


class Tool(msgspec.Struct, frozen=True):
    """A tool; `call` takes the encoded arguments object and returns an encoded CallToolResult.

    `call` raises `msgspec.ValidationError` when the arguments are not those of `input_schema`.
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    call: Callable[[msgspec.Raw], bytes]


class _EchoArguments(msgspec.Struct, gc=False):
    text: str


_decode_echo_arguments = msgspec.json.Decoder(_EchoArguments).decode


def _echo(arguments: msgspec.Raw) -> bytes:
    return b'{"content":[{"type":"text","text":%b}]}' % encode(_decode_echo_arguments(arguments).text)


ECHO = Tool(
    name="echo",
    description="Answers with the text that it is given.",
    input_schema={
        "type": "object",
        "properties": {"text": {"type": "string", "description": "What to answer."}},
        "required": ["text"],
    },
    call=_echo,
)

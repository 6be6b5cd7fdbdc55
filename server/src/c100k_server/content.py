"""What tools, resources and prompts give back, in the shapes of MCP. Bytes are sent as base64."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import msgspec


class TextResource(msgspec.Struct, rename="camel", omit_defaults=True):
    """The contents of a resource that is text."""

    uri: str
    text: str
    mime_type: str | None = None


class BlobResource(msgspec.Struct, rename="camel", omit_defaults=True):
    """The contents of a resource that is not text."""

    uri: str
    blob: bytes
    mime_type: str | None = None


class Text(msgspec.Struct, rename="camel", omit_defaults=True, tag_field="type", tag="text"):
    text: str
    annotations: dict[str, Any] | None = None


class Image(msgspec.Struct, rename="camel", omit_defaults=True, tag_field="type", tag="image"):
    data: bytes
    mime_type: str
    annotations: dict[str, Any] | None = None


class Audio(msgspec.Struct, rename="camel", omit_defaults=True, tag_field="type", tag="audio"):
    data: bytes
    mime_type: str
    annotations: dict[str, Any] | None = None


class Embedded(msgspec.Struct, rename="camel", omit_defaults=True, tag_field="type", tag="resource"):
    """A resource inside a result."""

    resource: TextResource | BlobResource
    annotations: dict[str, Any] | None = None


class Link(msgspec.Struct, rename="camel", omit_defaults=True, tag_field="type", tag="resource_link"):
    """A resource that the client may read."""

    uri: str
    name: str
    description: str | None = None
    mime_type: str | None = None
    annotations: dict[str, Any] | None = None


Content: TypeAlias = Text | Image | Audio | Embedded | Link


class Message(msgspec.Struct):
    """A message of a prompt."""

    content: Content
    role: Literal["user", "assistant"] = "user"


class ToolResult(msgspec.Struct, rename="camel", omit_defaults=True):
    """A result in full, for tools that say more than a return value can."""

    content: Sequence[Content]
    structured_content: Any = msgspec.UNSET
    is_error: bool = False


def as_content(value: object) -> list[Content]:
    """A return value as content: text as it is, content as it is, anything else as JSON."""
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)]
    if isinstance(value, Content):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(each, str | Content) for each in value):
        return [Text(each) if isinstance(each, str) else each for each in value]
    return [Text(msgspec.json.encode(value).decode())]


def as_messages(value: object) -> list[Message]:
    """What a prompt returned, as messages: those of the user unless it says otherwise."""
    values = value if isinstance(value, list | tuple) else [value]
    return [each if isinstance(each, Message) else Message(as_content(each)[0]) for each in values]


def as_resource(value: object, uri: str, mime_type: str | None) -> list[TextResource | BlobResource]:
    """What a resource returned, as its contents."""
    if isinstance(value, TextResource | BlobResource):
        return [value]
    if isinstance(value, list) and value and all(isinstance(each, TextResource | BlobResource) for each in value):
        return value
    if isinstance(value, bytes):
        return [BlobResource(uri, value, mime_type or "application/octet-stream")]
    if isinstance(value, str):
        return [TextResource(uri, value, mime_type or "text/plain")]
    return [TextResource(uri, msgspec.json.encode(value).decode(), mime_type or "application/json")]

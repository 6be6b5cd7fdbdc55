"""A Model Context Protocol server for many connections, and the API to write apps for it."""

from __future__ import annotations

from c100k_server.app import App
from c100k_server.authentication import Caller
from c100k_server.content import (
    Audio,
    BlobResource,
    Embedded,
    Image,
    Link,
    Message,
    Text,
    TextResource,
    ToolResult,
)
from c100k_server.context import ROOTS, Context, Elicited, elicitation, sampling
from c100k_server.errors import RegistryError, ToolError
from c100k_server.jsonrpc import RequestError
from c100k_server.version import __version__

__all__ = [
    "ROOTS",
    "App",
    "Audio",
    "BlobResource",
    "Caller",
    "Context",
    "Elicited",
    "Embedded",
    "Image",
    "Link",
    "Message",
    "RegistryError",
    "RequestError",
    "Text",
    "TextResource",
    "ToolError",
    "ToolResult",
    "__version__",
    "elicitation",
    "sampling",
]

"""Calling tools, and the built-in app that the harness measures."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from c100k_server.app import App, Tool
from c100k_server.content import Text, ToolResult, as_content
from c100k_server.context import Context
from c100k_server.errors import ToolError
from c100k_server.jsonrpc import MISSING_CLIENT_CAPABILITY, RequestError, encode
from c100k_server.request import Request
from c100k_server.version import __version__

ECHO = App("c100k-server", version=__version__)


@ECHO.tool(inline=True)
def echo(text: Annotated[str, msgspec.Meta(description="What to answer.")]) -> str:
    """Answers with the text that it is given."""
    return text


# What the harness has changed, to see how soon all who listen know.
ANNOUNCEMENT = "c100k://harness/announcement"


@ECHO.resource(ANNOUNCEMENT)
def announcement() -> str:
    """Changes whenever the tool `announce` is called."""
    return "announced"


@ECHO.tool(inline=True)
def announce() -> str:
    """Tells all who listen to c100k://harness/announcement that it has changed."""
    ECHO.updated(ANNOUNCEMENT)
    return "announced"


class Count(msgspec.Struct):
    """Where a session's counter stood when an operation had been done."""

    operation: int
    n: int


@ECHO.tool(inline=True)
def increment(
    operation: Annotated[int, msgspec.Meta(ge=1, description="Its number, higher than those before.")], ctx: Context
) -> Count:
    """Adds 1 to the counter of the session, once for each operation: one that is asked for again, because its answer
    did not arrive, is not done again."""
    done = ctx.session.get("count", {"operation": 0, "n": 0})
    if operation < done["operation"]:
        raise ToolError(f"operation {operation} comes after {done['operation']}")
    if operation > done["operation"]:
        done = {"operation": operation, "n": done["n"] + 1}
        ctx.session["count"] = done
    return Count(**done)


@ECHO.tool(inline=True)
def read(ctx: Context) -> Count:
    """The counter of the session, and the last operation on it."""
    return Count(**ctx.session.get("count", {"operation": 0, "n": 0}))


def compile_inline(tool: Tool) -> Callable[[msgspec.Raw], bytes]:
    """A tool whose function returns at once, from encoded arguments to an encoded result."""
    assert tool.signature.arguments is not None
    decode = msgspec.json.Decoder(tool.signature.arguments).decode
    function = tool.function
    values = attrgetter(*tool.signature.parameters) if tool.signature.parameters else _no_values
    single = len(tool.signature.parameters) == 1

    def call(arguments: msgspec.Raw) -> bytes:
        decoded = values(decode(arguments))
        try:
            value = function(decoded) if single else function(*decoded)
        except ToolError as error:
            return failure(str(error))
        if type(value) is str:
            return b'{"content":[{"type":"text","text":%b}]}' % encode(value)
        return encode_result(tool, value)

    return call


def _no_values(_: object) -> tuple[()]:
    return ()


def call_inline(request: Request, tool: Tool, arguments: dict[str, Any]) -> bytes:
    """A tool whose function returns at once, and wants to know its request."""
    try:
        return encode_result(tool, tool.function(**arguments, **request.context_argument(tool.signature)))
    except ToolError as error:
        return failure(str(error))
    except RequestError:
        raise
    except Exception as error:
        request.report(error)
        return failure(f"{tool.name} failed")


async def call_tool(request: Request, tool: Tool, arguments: dict[str, Any]) -> bytes:
    """Any other tool. Its errors are results, so that the model behind the client reads them."""
    try:
        if tool.inline and not tool.signature.is_async:
            return call_inline(request, tool, arguments)
        return encode_result(tool, await request.call(tool.signature, tool.function, arguments))
    except RequestError as error:
        if error.code == MISSING_CLIENT_CAPABILITY and request.session is not None:
            return failure(error.message)
        raise
    except ToolError as error:
        return failure(str(error))
    except Exception as error:
        request.report(error)
        return failure(f"{tool.name} failed")


def encode_result(tool: Tool, value: Any) -> bytes:
    if isinstance(value, ToolResult):
        return encode(value)
    if "outputSchema" in tool.listing:
        return encode({"content": as_content(value), "structuredContent": value})
    return encode({"content": as_content(value)})


def failure(message: str) -> bytes:
    return encode({"content": [Text(message)], "isError": True})

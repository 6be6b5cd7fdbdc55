"""The app of `sdk_app.py` on the official Python SDK, as the SDK serves it by default: both eras, on uvicorn.

What differs from its defaults is in its favour, or has both answer alike: requests are not logged, idle connections are
kept, answers are not repeated as structured content.
"""

from __future__ import annotations

import sys

import uvicorn
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("echo", log_level="WARNING")


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """Answers with the text that it is given."""
    return text


@server.tool(structured_output=False)
async def touch(uri: str, ctx: Context) -> str:
    """Tells everyone who listens that a resource has changed."""
    await ctx.notify_resource_updated(uri)
    return uri


if __name__ == "__main__":
    uvicorn.run(
        server.streamable_http_app(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning",
        timeout_keep_alive=600, backlog=4096,
    )  # fmt: skip

"""An MCP server of the official Python SDK 1.x, over Streamable HTTP: `python sdk_1_server.py PORT`."""

from __future__ import annotations

import sys

from mcp.server.fastmcp import FastMCP

server = FastMCP("sdk-1", host="127.0.0.1", port=int(sys.argv[1]), log_level="ERROR")


@server.tool()
def echo(text: str) -> str:
    """What was said."""
    return text


server.run("streamable-http")

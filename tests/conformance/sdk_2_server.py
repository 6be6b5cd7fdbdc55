"""A server of the official Python SDK 2.x with the tool `echo`, over Streamable HTTP; run in an environment of its own.

Usage: sdk_2_server.py PORT
"""

from __future__ import annotations

import sys

from mcp.server import MCPServer

server = MCPServer("echo", log_level="ERROR")


@server.tool()
def echo(text: str) -> str:
    return text


server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))

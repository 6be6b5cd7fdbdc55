"""The version of this package, as its wheel has it and as it goes into every `generator.json` and MCP handshake."""

from __future__ import annotations

from importlib.metadata import version

VERSION = version("c100k-loadgen")

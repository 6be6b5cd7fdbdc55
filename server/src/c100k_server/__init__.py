"""A Model Context Protocol server: many connections, few processes. The command line is its interface."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("c100k-server")

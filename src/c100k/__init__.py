"""c100k: prove, with real sockets on real hosts, that a service holds 100,000 concurrent connections."""

from __future__ import annotations

__version__ = "0.1.0"

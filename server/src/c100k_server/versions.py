"""The revisions of the protocol: https://modelcontextprotocol.io/specification/versioning."""

from __future__ import annotations

SESSION_VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
LATEST_SESSION_VERSION = SESSION_VERSIONS[-1]
# The only revision with JSON-RPC batches, which it requires servers to accept.
BATCH_VERSION = "2025-03-26"
# What an HTTP request without a version header speaks.
UNSAID_VERSION = "2025-03-26"
# The only revision with tasks in its core.
TASKS_VERSION = "2025-11-25"
STATELESS_VERSION = "2026-07-28"
SUPPORTED_VERSIONS = (*SESSION_VERSIONS, STATELESS_VERSION)

"""What all clients of a worker have in common: the app with its lists encoded, and the figures they are counted in."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from c100k_server.app import App, Kind, Tool
from c100k_server.jsonrpc import encode
from c100k_server.latency import Latency
from c100k_server.statistics import EVENTS_WAITING, THREADS_BUSY, THREADS_QUEUED
from c100k_server.subscriptions import Subscriptions
from c100k_server.tools import compile_inline
from c100k_server.versions import SESSION_VERSIONS, SUPPORTED_VERSIONS

# Sync functions of the app share so many threads of a worker.
THREADS = 32


class Service:
    """One app, as one worker serves it. `lifespan` is what the app's lifespan yielded."""

    __slots__ = (
        "_prefixes",
        "app",
        "discovery",
        "figures",
        "in_threads",
        "inline",
        "latency",
        "lifespan",
        "loop",
        "pages",
        "state_key",
        "subscriptions",
        "thread_id",
        "threads",
        "welcome",
    )

    def __init__(self, app: App, figures: memoryview, state_key: bytes, loop: asyncio.AbstractEventLoop) -> None:
        self.app = app
        self.figures = figures
        self.state_key = state_key
        self.lifespan: Any = None
        self.loop = loop
        self.thread_id = threading.get_ident()
        self.latency = Latency(figures)
        self.threads = ThreadPoolExecutor(THREADS, "tool")
        # Calls that were given to the threads and have not ended, cancelled or not.
        self.in_threads: set[Future[Any]] = set()
        self.subscriptions = Subscriptions(figures, loop)
        self._prefixes: dict[str, bytes] = {}
        self.pages: dict[str, dict[str | None, bytes]] = {}
        self.inline: dict[str, Callable[[Any], bytes]] = {}
        self.welcome: dict[str, bytes] = {}
        self.discovery = b""
        self.refresh()
        app.on_changed = self._on_changed
        app.on_updated = self.subscriptions.updated

    def refresh(self) -> None:
        """Encode anew what depends on what the app has."""
        app = self.app
        self._prefixes = {
            kind: b'{"resultType":"%b","_meta":{"io.modelcontextprotocol/serverInfo":%b}'
            % (kind.encode(), encode(app.information))
            for kind in ("complete", "input_required")
        }
        instructions = {"instructions": app.instructions} if app.instructions else {}
        self.welcome = {
            version: encode(
                {
                    "protocolVersion": version,
                    "capabilities": self._capabilities(sessions=True),
                    "serverInfo": app.information,
                    **instructions,
                }
            )
            for version in SESSION_VERSIONS
        }
        cached = {"ttlMs": app.list_ttl_ms, "cacheScope": "public"}
        self.discovery = encode(
            {
                "supportedVersions": SUPPORTED_VERSIONS,
                "capabilities": self._capabilities(sessions=False),
                **instructions,
                **cached,
            }
        )
        self.inline = {tool.name: compile_inline(tool) for tool in app.tools.values() if _is_immediate(tool)}
        self.pages = {
            "tools/list": self._encode_pages("tools", list(app.tools.values())),
            "prompts/list": self._encode_pages("prompts", list(app.prompts.values())),
            "resources/list": self._encode_pages("resources", list(app.resources.values())),
            "resources/templates/list": self._encode_pages("resourceTemplates", list(app.templates.values())),
        }

    def stamp(self, result: bytes, result_type: str = "complete") -> bytes:
        """An encoded result with what 2026-07-28 wants in every one."""
        return self._prefixes[result_type] + (b"}" if result == b"{}" else b"," + result[1:])

    def cacheable(self, result: bytes, ttl_ms: int, cache_scope: str) -> bytes:
        """An encoded result with its caching hints."""
        return b'{"ttlMs":%d,"cacheScope":"%b",' % (ttl_ms, cache_scope.encode()) + result[1:]

    def publish(self) -> None:
        """Publish what is not counted as it happens. Call a few times per second."""
        figures = self.figures
        in_threads = len(self.in_threads)
        figures[THREADS_BUSY] = min(in_threads, THREADS)
        figures[THREADS_QUEUED] = max(0, in_threads - THREADS)
        figures[EVENTS_WAITING] = self.subscriptions.waiting
        self.latency.publish()

    def close(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _capabilities(self, *, sessions: bool) -> dict[str, Any]:
        app = self.app
        changes = {"listChanged": True} if app.list_changed else {}
        found: dict[str, Any] = {}
        if app.tools:
            found["tools"] = changes
        if app.prompts:
            found["prompts"] = changes
        if app.resources or app.templates:
            found["resources"] = {"subscribe": True, **changes}
        if app.completions:
            found["completions"] = {}
        if sessions and (app.prompts or app.resources or any(tool.signature.context for tool in app.tools.values())):
            found["logging"] = {}
        return found

    def _encode_pages(self, key: str, items: Sequence[Any]) -> dict[str | None, bytes]:
        size = self.app.page_size
        starts = range(0, len(items), size) or range(1)
        cursors = {start: base64.urlsafe_b64encode(b"%d" % start).decode() if start else None for start in starts}
        return {
            cursors[start]: encode(
                {
                    key: [item.listing for item in items[start : start + size]],
                    **({"nextCursor": cursors[start + size]} if start + size in cursors else {}),
                }
            )
            for start in starts
        }

    def _on_changed(self, kind: Kind) -> None:
        self.refresh()
        self.subscriptions.changed(kind)


def _is_immediate(tool: Tool) -> bool:
    signature = tool.signature
    return tool.inline and not signature.is_async and signature.context is None and signature.arguments is not None

"""What all clients of a worker have in common: the app with its lists encoded, and the figures they are counted in."""

from __future__ import annotations

import asyncio
import base64
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from c100k_server.app import App, Kind, Tool
from c100k_server.events import emit
from c100k_server.jsonrpc import encode
from c100k_server.latency import Latency
from c100k_server.registry.local import LocalRegistry
from c100k_server.registry.registry import Registry
from c100k_server.state.event_stream import EventStream
from c100k_server.state.store import SessionStore
from c100k_server.statistics import EVENTS_WAITING, THREADS_BUSY, THREADS_QUEUED
from c100k_server.subscriptions import Subscriptions
from c100k_server.tasks import Tasks
from c100k_server.tools import compile_inline
from c100k_server.turns import Turns
from c100k_server.versions import SESSION_VERSIONS, STATELESS_VERSION, SUPPORTED_VERSIONS, TASKS_VERSION

# Sync functions of the app share so many threads of a worker.
THREADS = 32
TASKS_EXTENSION = "io.modelcontextprotocol/tasks"


class Service:
    """One app, as one worker serves it, number `worker` of `workers`. `lifespan` is what the app's lifespan yielded."""

    __slots__ = (
        "_prefixes",
        "app",
        "discovery",
        "events",
        "figures",
        "has_tasks",
        "in_flight_max",
        "in_threads",
        "inline",
        "latency",
        "lifespan",
        "loop",
        "pages",
        "registry",
        "session_pages",
        "state_key",
        "store",
        "subscriptions",
        "tasks",
        "thread_id",
        "threads",
        "turns",
        "welcome",
    )

    def __init__(
        self,
        app: App,
        figures: memoryview,
        state_key: bytes,
        loop: asyncio.AbstractEventLoop,
        worker: int = 0,
        workers: int = 1,
    ) -> None:
        self.app = app
        self.figures = figures
        self.state_key = state_key
        self.lifespan: Any = None
        self.in_flight_max = sys.maxsize
        # What the nodes of a cluster share, where there is one.
        self.store: SessionStore | None = None
        self.events: EventStream | None = None
        self.loop = loop
        self.turns = Turns(loop)
        self.thread_id = threading.get_ident()
        self.latency = Latency(figures)
        self.threads = ThreadPoolExecutor(THREADS, "tool")
        # Calls that were given to the threads and have not ended, cancelled or not.
        self.in_threads: set[Future[Any]] = set()
        self.subscriptions = Subscriptions(figures, loop)
        # Names of sessions: those of this worker, unless the nodes of a cluster share them.
        self.registry: Registry = LocalRegistry(self.subscriptions, figures)
        self.tasks = Tasks(worker, workers, round(app.task_ttl_s * 1000))
        self.has_tasks = False
        self._prefixes: dict[str, bytes] = {}
        self.pages: dict[str, dict[str | None, bytes]] = {}
        self.session_pages: dict[str, dict[str | None, bytes]] = {}
        self.inline: dict[str, Callable[[Any], bytes]] = {}
        self.welcome: dict[str, bytes] = {}
        self.discovery = b""
        self.refresh()
        app.on_changed = self._on_changed
        app.on_updated = self.subscriptions.updated
        self.subscriptions.reload = self._reload
        app.on_registry = lambda: self.registry

    def refresh(self) -> None:
        """Encode anew what depends on what the app has."""
        app = self.app
        self.has_tasks = any(tool.task != "forbidden" for tool in app.tools.values())
        self._prefixes = {
            kind: b'{"resultType":"%b","_meta":{"io.modelcontextprotocol/serverInfo":%b}'
            % (kind.encode(), encode(app.information))
            for kind in ("complete", "input_required", "task")
        }
        instructions = {"instructions": app.instructions} if app.instructions else {}
        self.welcome = {
            version: encode(
                {
                    "protocolVersion": version,
                    "capabilities": self._capabilities(version),
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
                "capabilities": self._capabilities(STATELESS_VERSION),
                **instructions,
                **cached,
            }
        )
        self.inline = {tool.name: compile_inline(tool) for tool in app.tools.values() if _is_immediate(tool)}
        self.pages = {
            "tools/list": self._encode_pages("tools", [tool.listing for tool in app.tools.values()]),
            "prompts/list": self._encode_pages("prompts", [prompt.listing for prompt in app.prompts.values()]),
            "resources/list": self._encode_pages("resources", [each.listing for each in app.resources.values()]),
            "resources/templates/list": self._encode_pages(
                "resourceTemplates", [template.listing for template in app.templates.values()]
            ),
        }
        self.session_pages = self.pages
        if self.has_tasks:
            tools = self._encode_pages("tools", [_with_task_support(tool) for tool in app.tools.values()])
            self.session_pages = {**self.pages, "tools/list": tools}

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

    def _capabilities(self, version: str) -> dict[str, Any]:
        app = self.app
        sessions = version != STATELESS_VERSION
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
        if self.has_tasks and version == TASKS_VERSION:
            found["tasks"] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
        if self.has_tasks and not sessions:
            found["extensions"] = {TASKS_EXTENSION: {}}
        return found

    def _encode_pages(self, key: str, items: Sequence[Any]) -> dict[str | None, bytes]:
        size = self.app.page_size
        starts = range(0, len(items), size) or range(1)
        cursors = {start: base64.urlsafe_b64encode(b"%d" % start).decode() if start else None for start in starts}
        return {
            cursors[start]: encode(
                {
                    key: items[start : start + size],
                    **({"nextCursor": cursors[start + size]} if start + size in cursors else {}),
                }
            )
            for start in starts
        }

    def _on_changed(self, kind: Kind) -> None:
        self.refresh()
        self.subscriptions.changed(kind)

    def _reload(self, kind: Kind) -> None:
        """Another worker's app has changed a list; what this one's changes in turn is no news to the others."""
        app = self.app
        if app.reloader is None:
            return
        app.on_changed = lambda _: None
        try:
            app.reloader(kind)
        except Exception as error:
            emit("app_error", error=repr(error), traceback="".join(traceback.format_exception(error)))
        finally:
            app.on_changed = self._on_changed
            self.refresh()


def _with_task_support(tool: Tool) -> dict[str, Any]:
    """The entry of a tool for sessions; in 2026-07-28 the server decides what becomes a task."""
    return tool.listing if tool.task == "forbidden" else {**tool.listing, "execution": {"taskSupport": tool.task}}


def _is_immediate(tool: Tool) -> bool:
    signature = tool.signature
    if tool.task != "forbidden":
        return False
    return tool.inline and not signature.is_async and signature.context is None and signature.arguments is not None

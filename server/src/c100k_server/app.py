"""An app: the tools, resources and prompts that people write, as decorated functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal, TypeAlias, TypeVar, overload

import msgspec

from c100k_server.authentication import Verify
from c100k_server.errors import ToolError
from c100k_server.json_schema import output_schema
from c100k_server.param_headers import ParamHeader, read_param_headers
from c100k_server.registry.access import AppRegistry
from c100k_server.registry.registry import Registry
from c100k_server.signature import Signature, read_signature
from c100k_server.uri_template import UriTemplate

CacheScope: TypeAlias = Literal["public", "private"]
TaskSupport: TypeAlias = Literal["forbidden", "optional", "required"]
Kind: TypeAlias = Literal["tools", "prompts", "resources"]
Function = TypeVar("Function", bound=Callable[..., Any])


class Tool(msgspec.Struct, frozen=True):
    """A tool; `listing` is its entry in tools/list."""

    name: str
    listing: dict[str, Any]
    function: Callable[..., Any]
    signature: Signature
    inline: bool
    param_headers: tuple[ParamHeader, ...]
    task: TaskSupport
    asks_first: bool


class Resource(msgspec.Struct, frozen=True):
    """A resource, or with `template.variables` a template of many."""

    template: UriTemplate
    listing: dict[str, Any]
    function: Callable[..., Any]
    signature: Signature
    mime_type: str | None
    ttl_ms: int
    cache_scope: CacheScope


class Prompt(msgspec.Struct, frozen=True):
    name: str
    listing: dict[str, Any]
    function: Callable[..., Any]
    signature: Signature


class Completion(msgspec.Struct, frozen=True):
    """Suggests values for an argument of a prompt, by its name, or of a template, by its URI."""

    function: Callable[..., Any]
    wants_context: bool


class App:
    """`app = App("weather")`; then decorate functions with `@app.tool`, `@app.resource(URI)` and `@app.prompt`.

    `lifespan` is an async context manager entered once in each worker process; contexts carry what it yields as
    `ctx.lifespan`. With `list_changed` clients are told that lists may change; call `changed` when they do. A task and
    its result are forgotten `task_ttl_s` after it began, or earlier if its client said so.
    `verify` says whose a bearer token is, as `@app.verify` does.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0",
        title: str | None = None,
        instructions: str | None = None,
        lifespan: Callable[[], AbstractAsyncContextManager[Any]] | None = None,
        list_changed: bool = False,
        page_size: int = 100,
        list_ttl_ms: int = 60_000,
        task_ttl_s: float = 3600.0,
        verify: Verify | None = None,
    ) -> None:
        self.information = _present(name=name, version=version, title=title)
        self.instructions = instructions
        self.lifespan = lifespan
        self.list_changed = list_changed
        self.page_size = page_size
        self.list_ttl_ms = list_ttl_ms
        self.task_ttl_s = task_ttl_s
        self.verifier = verify
        self.reloader: Callable[[Kind], None] | None = None
        # What is added comes with a new dictionary: another thread may be reading the old one.
        self.tools: dict[str, Tool] = {}
        self.resources: dict[str, Resource] = {}
        self.templates: dict[str, Resource] = {}
        self.prompts: dict[str, Prompt] = {}
        self.completions: dict[tuple[str, str], Completion] = {}
        # What the worker that serves this app does when something changes.
        self.on_changed: Callable[[Kind], None] = _nobody_listens
        self.on_updated: Callable[[str], None] = _nobody_listens
        # Where the worker that serves this app keeps names.
        self.on_registry: Callable[[], Registry] = _nobody_serves

    @overload
    def tool(self, function: Function) -> Function: ...
    @overload
    def tool(
        self,
        *,
        name: str | None = ...,
        title: str | None = ...,
        description: str | None = ...,
        annotations: Mapping[str, object] | None = ...,
        input_schema: dict[str, Any] | None = ...,
        inline: bool = ...,
        task: TaskSupport = ...,
        asks_first: bool = ...,
    ) -> Callable[[Function], Function]: ...
    def tool(
        self,
        function: Function | None = None,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        annotations: Mapping[str, object] | None = None,
        input_schema: dict[str, Any] | None = None,
        inline: bool = False,
        task: TaskSupport = "forbidden",
        asks_first: bool = False,
    ) -> Function | Callable[[Function], Function]:
        """Make a tool of a function. Its type hints are the input schema, its docstring the description.

        Sync functions run in a thread; `inline` runs them on the event loop, for those that return at once.

        A `task` goes on after the call was answered, with an id by which clients ask for its state and its result:
        `required` always, `optional` for clients that can do so. One with `asks_first` is a task of 2026-07-28 only
        from `await ctx.start_task()` on; what it asks before, it asks as other tools do.
        """

        def add(function: Function) -> Function:
            signature = read_signature(function, input_schema)
            known_as = name or function.__name__
            listing = _present(
                name=known_as,
                title=title,
                description=description or inspect.getdoc(function),
                inputSchema=signature.input_schema,
                outputSchema=output_schema(signature.returns),
                annotations=dict(annotations) if annotations else None,
            )
            headers = read_param_headers(signature.input_schema)
            tool = Tool(known_as, listing, function, signature, inline, headers, task, asks_first)
            self.tools = {**self.tools, known_as: tool}
            self.changed("tools")
            return function

        return add if function is None else add(function)

    def resource(
        self,
        uri: str,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        annotations: Mapping[str, object] | None = None,
        ttl_ms: int = 0,
        cache_scope: CacheScope = "private",
    ) -> Callable[[Function], Function]:
        """Make a resource of a function, or a template when `uri` has `{variables}`, which are its arguments."""

        def add(function: Function) -> Function:
            template = UriTemplate(uri)
            signature = read_signature(function)
            if set(signature.parameters) != set(template.variables):
                raise TypeError(f"{function.__name__}: its parameters must be the variables of {uri!r}")
            listing = _present(
                name=name or function.__name__,
                title=title,
                description=description or inspect.getdoc(function),
                mimeType=mime_type,
                annotations=dict(annotations) if annotations else None,
            )
            listing["uriTemplate" if template.variables else "uri"] = uri
            added = Resource(template, listing, function, signature, mime_type, ttl_ms, cache_scope)
            if template.variables:
                self.templates = {**self.templates, uri: added}
            else:
                self.resources = {**self.resources, uri: added}
            self.changed("resources")
            return function

        return add

    @overload
    def prompt(self, function: Function) -> Function: ...
    @overload
    def prompt(
        self, *, name: str | None = ..., title: str | None = ..., description: str | None = ...
    ) -> Callable[[Function], Function]: ...
    def prompt(
        self,
        function: Function | None = None,
        *,
        name: str | None = None,
        title: str | None = None,
        description: str | None = None,
    ) -> Function | Callable[[Function], Function]:
        """Make a prompt of a function; its arguments are strings."""

        def add(function: Function) -> Function:
            signature = read_signature(function)
            properties = signature.input_schema["properties"]
            arguments = [
                _present(
                    name=each,
                    description=properties[each].get("description"),
                    required=True if each in signature.required else None,
                )
                for each in signature.parameters
            ]
            known_as = name or function.__name__
            listing = _present(
                name=known_as,
                title=title,
                description=description or inspect.getdoc(function),
                arguments=arguments or None,
            )
            self.prompts = {**self.prompts, known_as: Prompt(known_as, listing, function, signature)}
            self.changed("prompts")
            return function

        return add if function is None else add(function)

    def complete(self, reference: str, argument: str) -> Callable[[Function], Function]:
        """Make a function suggest values for `argument` of the prompt or template `reference`.

        It is given what was typed so far, and the other arguments if it takes a second parameter.
        """

        def add(function: Function) -> Function:
            wants_context = len(inspect.signature(function).parameters) > 1
            self.completions[reference, argument] = Completion(function, wants_context)
            return function

        return add

    def verify(self, function: Function) -> Function:
        """Make a function say whose a bearer token is, which clients then must show over HTTP and WebSocket.

        It is given the token, and a `Caller` if it takes two parameters, and returns a name or claims, which are
        `ctx.principal`, or None to refuse. If it is not async it runs in a thread. It is asked once per
        `--auth-cache-s` for a token; raising means that nobody can say now, and the client is told to try again.
        """
        self.verifier = function
        return function

    def reload(self, function: Callable[[Kind], None]) -> Callable[[Kind], None]:
        """Have `function` change this worker's list as `changed` was told in another worker; its clients hear of it
        after that. So keep what the list follows in a store that all workers read."""
        self.reloader = function
        return function

    @property
    def registry(self) -> AppRegistry:
        """The names of sessions, for what is done outside of requests."""
        return AppRegistry(lambda: self.on_registry())

    def changed(self, kind: Kind) -> None:
        """Tell the clients of all workers that a list is no longer what it was. Adding with a decorator does so by
        itself. The list of this worker has changed; those of the others change in what `reload` decorates."""
        self.on_changed(kind)

    def updated(self, uri: str) -> None:
        """Tell those who subscribed to the resource `uri` that it has changed."""
        self.on_updated(uri)


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _nobody_listens(_: str) -> None:
    """Before it is served an app has no clients."""


def _nobody_serves() -> Registry:
    raise ToolError("this app is not served, and has no registry")

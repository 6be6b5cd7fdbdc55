"""The app under fuzzing: a tool of each kind, none of which takes its time, so that inputs reach all of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import msgspec

from c100k_server import ROOTS, App, Context, Embedded, Image, Text, TextResource, ToolError, elicitation, sampling


class Place(msgspec.Struct):
    city: str
    days: int = 1


class IntendedError(Exception):
    """The one error that this app makes."""


class Waiting:
    """How many functions of the app wait for the client to answer."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


def make_app() -> tuple[App, Waiting]:
    app = App("fuzzed", list_changed=True, page_size=4, instructions="none")
    waiting = Waiting()

    @app.tool(inline=True)
    def echo(text: str) -> str:
        return text

    @app.tool(inline=True)
    def add(a: int, b: float = 0.5, more: list[int] | None = None) -> float:
        return a + b + sum(more or ())

    @app.tool(inline=True)
    def place(where: Place) -> Place:
        return where

    @app.tool(inline=True)
    def inline_context(ctx: Context, text: str = "") -> str:
        ctx.log("info", text)
        return f"{ctx.protocol_version} {ctx.session_id is None}"

    @app.tool
    def thread(text: str) -> str:
        return text

    @app.tool
    def thread_context(ctx: Context, text: str = "") -> str:
        ctx.progress(1, 2, text)
        ctx.log("error", text, logger="thread")
        return text

    @app.tool
    async def content(kind: str) -> Any:
        known = {
            "image": Image(b"\x89PNG", "image/png"),
            "embedded": Embedded(TextResource("test://embedded", "text", "text/plain")),
            "several": [Text("one"), "two"],
            "nothing": None,
        }
        return known.get(kind, {"kind": kind})

    @app.tool
    async def steps(ctx: Context, count: int = 3) -> str:
        for step in range(min(count, 8)):
            ctx.progress(step, count)
            ctx.log("debug", {"step": step})
            await asyncio.sleep(0)
        return "done"

    @app.tool
    async def reconnect(ctx: Context) -> str:
        ctx.close_stream()
        await asyncio.sleep(0)
        ctx.log("emergency", "closed")
        return "done"

    @app.tool(task="optional")
    async def work(ctx: Context, steps: int = 2) -> str:
        for step in range(min(steps, 8)):
            ctx.progress(step, steps, f"step {step}")
            await asyncio.sleep(0)
        return "worked"

    @app.tool
    async def change(ctx: Context, uri: str = "test://static") -> str:
        app.changed("tools")
        app.updated(uri)
        return "changed"

    @app.tool
    async def fails() -> str:
        raise ToolError("as it should")

    @app.tool
    async def crashes() -> str:
        raise IntendedError

    @app.tool(input_schema={"type": "object"})
    async def anything(arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments

    @app.tool
    async def region(
        region: Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})],
        count: Annotated[int, msgspec.Meta(extra_json_schema={"x-mcp-header": "Count"})] = 1,
    ) -> str:
        return region * min(count, 2)

    @app.tool
    async def elicit(ctx: Context, message: str = "?") -> str:
        with waiting.one():
            answer = await ctx.elicit(message, Place)
        return answer.action

    @app.tool
    async def elicit_twice(ctx: Context) -> str:
        with waiting.one():
            first = await ctx.elicit("first", Place, key="first")
        with waiting.one():
            second = await ctx.elicit("second", Place)
        return f"{first.content} {second.content}"

    @app.tool
    async def sample(ctx: Context, prompt: str = "?") -> str:
        with waiting.one():
            answer = await ctx.sample(prompt, max_tokens=10)
        return str(answer["role"])

    @app.tool
    async def roots(ctx: Context) -> int:
        with waiting.one():
            return len(await ctx.roots())

    @app.tool
    async def ask_all(ctx: Context) -> list[str]:
        questions = {"form": elicitation("?", Place), "model": sampling("?", 10), "roots": ROOTS}
        with waiting.one():
            return sorted(await ctx.ask(questions))

    @app.resource("test://static")
    def static() -> str:
        return "static"

    @app.resource("test://binary", mime_type="image/png", ttl_ms=10, cache_scope="public")
    async def binary() -> bytes:
        return b"\x89PNG"

    @app.resource("test://item/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    @app.resource("test://pair/{left}-{right}")
    def pair(left: str, right: str) -> str:
        return f"{left} {right}"

    @app.prompt
    def simple() -> str:
        return "simple"

    @app.prompt
    async def review(code: str, lines: int = 1) -> list[str]:
        return [code, str(lines)]

    @app.prompt
    async def asking(ctx: Context) -> str:
        with waiting.one():
            return (await ctx.elicit("?", Place)).action

    @app.complete("review", "code")
    def complete_code(value: str, others: dict[str, str]) -> list[str]:
        return [value + str(number) for number in range(len(others) + 101)]

    @app.complete("test://item/{number}", "number")
    async def complete_number(value: str) -> list[str]:
        return [value]

    return app, waiting

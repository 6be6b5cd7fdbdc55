"""What tasks can do and suffer, as an app that the tests of tasks serve."""

from __future__ import annotations

import asyncio
import time

from c100k_server import App, Context, RequestError, ToolError, ToolResult

app = App("tasks", page_size=2)
brief = App("brief", task_ttl_s=0.5)
begun: list[str] = []
stopped: list[str] = []


@app.tool(task="optional")
@brief.tool(task="optional")
async def sleep(seconds: float) -> str:
    """Takes its time, and notices when it is stopped."""
    begun.append("sleep")
    try:
        await asyncio.sleep(seconds)
    finally:
        stopped.append("sleep")
    return "slept"


@app.tool
def starts() -> int:
    """How many sleeps have begun in this worker."""
    return len(begun)


@app.tool
@brief.tool
def stops() -> int:
    """How many sleeps have come to an end in this worker."""
    return len(stopped)


@app.tool(inline=True)
def at_once(word: str) -> str:
    """Is never a task."""
    return word


@app.tool(task="required")
def block(ctx: Context) -> str:
    """Works in a thread."""
    for step in (1, 2):
        time.sleep(0.01)
        ctx.progress(step, 2, f"step {step}")
    return "done"


@app.tool(task="optional")
async def ask(ctx: Context) -> str:
    """Asks twice, under the same name."""
    schema = {"type": "object", "properties": {"word": {"type": "string"}}}
    words = [await ctx.elicit(f"Word {number}?", schema, key="word") for number in (1, 2)]
    return " ".join(str(each.content.get("word")) for each in words)


@app.tool(task="optional")
def fill(size: int) -> str:
    """Gives a long result."""
    return "x" * size


@app.tool(task="optional")
def fail(how: str) -> ToolResult:
    """Fails as a tool, as a request, or for no reason."""
    if how == "tool":
        raise ToolError("it did not work")
    if how == "request":
        raise RequestError(-32603, "it is broken")
    raise KeyError(how)

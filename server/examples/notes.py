"""Resources that change while clients watch them, and something that lives as long as a worker does.

c100k-server serve notes:app --http 127.0.0.1:8000 --workers 1
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from c100k_server import App, Context, ToolError


@asynccontextmanager
async def open_notebook() -> AsyncIterator[dict[str, str]]:
    """A real app would connect to its database here; every worker has its own."""
    yield {"welcome": "Write something."}


app = App("notes", lifespan=open_notebook)


@app.tool
async def write(title: str, text: str, ctx: Context) -> str:
    """Write a note, anew if there is one with this title."""
    ctx.lifespan[title] = text
    app.updated(f"notes://{title}")
    return f"{len(ctx.lifespan)} notes"


@app.resource("notes://{title}", mime_type="text/plain")
async def note(title: str, ctx: Context) -> str:
    """A note."""
    if title not in ctx.lifespan:
        raise ToolError(f"there is no note {title!r}")
    found: str = ctx.lifespan[title]
    return found

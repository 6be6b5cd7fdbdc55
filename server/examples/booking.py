"""A tool that asks its user, reports progress, and leaves slow work to a thread.

c100k-server serve booking:app --http 127.0.0.1:8000
"""

from __future__ import annotations

import time

import msgspec

from c100k_server import App, Context

app = App("booking")


class Party(msgspec.Struct):
    guests: int
    vegetarian: bool = False


@app.tool
async def book(restaurant: str, ctx: Context) -> str:
    """Book a table, after asking how many come."""
    answer = await ctx.elicit(f"A table at {restaurant} for how many?", Party)
    if answer.action != "accept":
        return "Nothing was booked."
    return f"A table for {answer.content['guests']} at {restaurant} is booked."


@app.tool
def survey(restaurants: list[str], ctx: Context) -> dict[str, int]:
    """Rate restaurants. It is not async, so it runs in a thread, and may take its time."""
    ratings = {}
    for position, restaurant in enumerate(restaurants):
        time.sleep(0.01)
        ratings[restaurant] = len(restaurant) % 5 + 1
        ctx.progress(position + 1, len(restaurants))
    return ratings

"""Tools that take long: clients get a task for them, ask how far it is, answer its questions, and fetch the result.

c100k-server serve reports:app --http 127.0.0.1:8000
"""

from __future__ import annotations

import asyncio

import msgspec

from c100k_server import App, Context

app = App("reports", task_ttl_s=900)


class Publication(msgspec.Struct):
    publish: bool


class Auditor(msgspec.Struct):
    name: str


@app.tool(task="optional")
async def report(year: int, ctx: Context) -> str:
    """Write the report of a year, and publish it if the user says so."""
    for month in range(1, 13):
        await asyncio.sleep(0.01)
        ctx.progress(month, 12, f"month {month} of 12")
    answer = await ctx.elicit(f"Publish the report of {year}?", Publication)
    published = answer.action == "accept" and answer.content["publish"]
    return f"The report of {year} is {'published' if published else 'written'}."


@app.tool(task="required", asks_first=True)
async def audit(year: int, ctx: Context) -> str:
    """Audit a year, which is a task from where it is known who does it."""
    answer = await ctx.elicit("Who audits?", Auditor)
    if answer.action != "accept":
        return "Nothing was audited."
    await ctx.start_task()
    await asyncio.sleep(0.05)
    return f"{answer.content['name']} has audited {year}."

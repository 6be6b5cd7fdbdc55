"""An app with a tool whose arguments are repeated in headers."""

from __future__ import annotations

from typing import Annotated

import msgspec

from c100k_server import App

app = App("routed")


def header(name: str) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"x-mcp-header": name})


@app.tool
def route(
    region: Annotated[str, header("Region")],
    count: Annotated[int, header("Count")] = 1,
    urgent: Annotated[bool, header("Urgent")] = False,
    note: str = "",
) -> str:
    """Goes somewhere."""
    return f"{region} {count} {urgent} {note}"

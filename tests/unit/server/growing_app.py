"""An app that learns tools while it is served, and keeps their names in a file for all workers."""

from __future__ import annotations

import os
from pathlib import Path

from c100k_server import App

STORE = Path(os.environ["GROWING_APP_STORE"])
app = App("growing", list_changed=True)


@app.tool
def learn(name: str) -> str:
    """Learn a tool."""
    with STORE.open("a") as store:
        store.write(f"{name}\n")
    add(name)
    return f"learned {name}"


@app.reload
def reload(kind: str) -> None:
    for name in STORE.read_text().split():
        add(name)


def add(name: str) -> None:
    @app.tool(name=name)
    def learned() -> str:
        return name

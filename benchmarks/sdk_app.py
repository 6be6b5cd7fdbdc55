"""The app that `sdk.py` has c100k-server serve, beside the same one in `sdk_server.py`."""

from __future__ import annotations

from c100k_server import App

app = App("echo")


@app.tool
async def echo(text: str) -> str:
    """Answers with the text that it is given."""
    return text


@app.tool
async def touch(uri: str) -> str:
    """Tells everyone who listens that a resource has changed."""
    app.updated(uri)
    return uri


@app.resource("bench://{name}")
def resource(name: str) -> str:
    """Something that changes."""
    return name

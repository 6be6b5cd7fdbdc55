"""Bearer tokens that a function of the app knows, and what belongs to whoever shows them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

APP = """
import asyncio
from pathlib import Path

from c100k_server import App, Caller, Context

app = App("guarded")
asked = Path("asked")


@app.verify
async def verify(token):
    with asked.open("a") as log:
        print(token, file=log)
    await asyncio.sleep(0.01)
    if token == "broken":
        raise OSError("the identity provider is down")
    subject, dash, rest = token.partition("-")
    return {"sub": subject, "token": token} if dash else None


def by_caller(token, caller: Caller):
    return f"{token} at {caller.peer}{caller.path}"


@app.tool
def whoami(ctx: Context) -> dict[str, str]:
    principal = ctx.principal
    return principal if isinstance(principal, dict) else {"sub": principal}


@app.tool
async def ask(ctx: Context) -> str:
    return (await ctx.elicit("Sure?", {"type": "object", "properties": {}})).action
"""
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}


class Caller:
    """Sends each request over a connection of its own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address

    def call(self, method: str, params: Any, token: str | None, **headers: str) -> tuple[int, Any, Any]:
        """Status, headers and body of the answer."""
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        given = {"Content-Type": "application/json", **{name.replace("_", "-"): each for name, each in headers.items()}}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection.request("POST", "/mcp", body, given)
        response = connection.getresponse()
        received = response.read()
        connection.close()
        return response.status, response.headers, json.loads(received) if received else None

    def tool(self, name: str, token: str | None, **more: Any) -> tuple[int, Any, Any]:
        routing = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": name}
        return self.call("tools/call", {"name": name, **more, "_meta": META}, token, **routing)


@pytest.fixture
def guarded(start_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Caller]:
    (tmp_path / "guarded.py").write_text(APP)
    monkeypatch.chdir(tmp_path)

    def start(*options: str) -> Caller:
        return Caller(start_server("guarded:app", "--http", "127.0.0.1:0", *options).http)

    return start


def test_function_of_the_app_says_whose_a_token_is(guarded: Any, tmp_path: Path) -> None:
    caller = guarded("--workers", "1")
    for _ in range(3):
        status, _, answer = caller.tool("whoami", "ada-1")
        assert status == 200
        assert answer["result"]["structuredContent"] == {"sub": "ada", "token": "ada-1"}
    assert (tmp_path / "asked").read_text() == "ada-1\n"
    status, headers, _ = caller.tool("whoami", None)
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    for _ in range(2):
        status, headers, _ = caller.tool("whoami", "nobody")
        assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')
    status, headers, _ = caller.tool("whoami", "broken")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert (tmp_path / "asked").read_text() == "ada-1\nnobody\nnobody\nbroken\n"


def test_verdicts_are_not_remembered_when_told_so(guarded: Any, tmp_path: Path) -> None:
    caller = guarded("--workers", "1", "--auth-cache-s", "0")
    assert [caller.tool("whoami", "ada-1")[0] for _ in range(2)] == [200, 200]
    assert (tmp_path / "asked").read_text() == "ada-1\nada-1\n"


def test_function_of_the_command_line_may_want_the_caller(guarded: Any) -> None:
    caller = guarded("--workers", "1", "--auth", "guarded:by_caller")
    assert caller.tool("whoami", "x")[2]["result"]["structuredContent"] == {"sub": "x at 127.0.0.1/mcp"}


def test_session_belongs_to_whoever_opened_it(guarded: Any) -> None:
    caller = guarded("--workers", "2")
    status, headers, _ = caller.call("initialize", INITIALIZE, "ada-1")
    assert status == 200
    session = {"Mcp_Session_Id": headers["Mcp-Session-Id"]}
    for _ in range(4):
        assert caller.call("ping", {}, "ada-1", **session)[0] == 200
        assert caller.call("ping", {}, "ada-renewed", **session)[0] == 200
        assert caller.call("ping", {}, "eve-1", **session)[0] == 404


def test_request_state_belongs_to_whoever_was_given_it(guarded: Any) -> None:
    caller = guarded("--workers", "2")
    asked = caller.tool("ask", "ada-1")[2]["result"]
    assert asked["resultType"] == "input_required"
    answers = {"inputResponses": {"input1": {"action": "accept", "content": {}}}, "requestState": asked["requestState"]}
    status, _, stolen = caller.tool("ask", "eve-1", **answers)
    assert (status, stolen["error"]["code"]) == (400, -32602)
    assert caller.tool("ask", "ada-2", **answers)[2]["result"]["content"][0]["text"] == "accept"


def test_token_file_names_its_principals(guarded: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("first\nsecond\n")
    caller = guarded("--workers", "1", "--token-file", str(tmp_path / "tokens"))
    names = [caller.tool("whoami", token)[2]["result"]["structuredContent"]["sub"] for token in ("first", "second")]
    assert all(name.startswith("token-") and "first" not in name for name in names)
    assert names[0] != names[1]
    assert caller.tool("whoami", "third")[0] == 401


def test_what_cannot_verify_is_one_sentence(run_command: Any, tmp_path: Path) -> None:
    addresses = ("--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1")
    ended = run_command("serve", *addresses, "--auth", "json:__name__")
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (
        1,
        "c100k-server: cannot load json:__name__: it is a str, not a function",
    )
    ended = run_command("serve", *addresses, "--token-file", str(tmp_path / "none"))
    assert "No such file" in ended.stderr.splitlines()[-1]
    assert ended.returncode == 1
    assert run_command("serve", *addresses, "--token-file", "x", "--auth", "json:loads").returncode == 2

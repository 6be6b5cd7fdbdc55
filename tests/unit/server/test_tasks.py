"""Tools that are called as tasks, as clients of either era see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

TASKS = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
VERSION = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
DECLARED = {"io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}, "elicitation": {}}}


@pytest.fixture
def serve_tasks(serve: Any) -> Any:
    """Serve an app for these tests, over TCP and HTTP."""
    return partial(serve, directory=Path(__file__).parent)


class TcpSession:
    """A session over TCP, which keeps what the server sends that is no answer."""

    def __init__(self, client: Any, version: str = "2025-11-25", **capabilities: Any) -> None:
        self.client = client
        self.told: list[Any] = []
        self._id = 0
        information = {"name": "test", "version": "0"}
        params = {"protocolVersion": version, "capabilities": capabilities, "clientInfo": information}
        self.welcome = self.call("initialize", params)["result"]

    def send(self, method: str, params: Any) -> int:
        self._id += 1
        self.client.send({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        return self._id

    def receive(self, wanted: Callable[[Any], bool]) -> Any:
        while not wanted(message := self.client.receive()):
            self.told.append(message)
        return message

    def call(self, method: str, params: Any) -> Any:
        request_id = self.send(method, params)
        return self.receive(lambda message: message.get("id") == request_id and "method" not in message)

    def start(self, tool: str, ttl: float | None = None, **arguments: Any) -> Any:
        task = {} if ttl is None else {"ttl": ttl}
        return self.call("tools/call", {"name": tool, "arguments": arguments, "task": task})["result"]["task"]

    def tool(self, name: str, **arguments: Any) -> Any:
        return self.call("tools/call", {"name": name, "arguments": arguments})


def connect_tcp(server: Any, version: str = "2025-11-25", **capabilities: Any) -> TcpSession:
    return TcpSession(server.connect(initialized=False), version, **capabilities)


def stateless(client: Any, method: str, task_id: str, params: Any = None, **options: Any) -> Any:
    meta = options.pop("meta", DECLARED)
    return client.stateless(method, {"taskId": task_id, **(params or {})}, task_id, meta=meta, **options)[1]


def start(client: Any, tool: str, **arguments: Any) -> Any:
    return client.stateless("tools/call", {"name": tool, "arguments": arguments}, tool, meta=DECLARED)[1]["result"]


def text_of(answer: Any) -> Any:
    return answer["result"]["content"][0]["text"]


def until(server: Any, look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    """Look again and again until it is as wanted."""
    seen: list[Any] = []

    def is_wanted() -> bool:
        seen.append(look())
        return wanted(seen[-1])

    server.wait_until(is_wanted)
    return seen[-1]


def test_what_is_offered(serve_tasks: Any) -> None:
    server, connect = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    assert session.welcome["capabilities"]["tasks"] == {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    listed: dict[str, Any] = {}
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = session.call("tools/list", cursor)["result"]
        listed.update({tool["name"]: tool.get("execution") for tool in page["tools"]})
        cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else None
    assert listed["block"] == {"taskSupport": "required"}
    assert listed["sleep"] == {"taskSupport": "optional"}
    assert listed["at_once"] is None
    elder = connect_tcp(server, "2025-06-18")
    assert "tasks" not in elder.welcome["capabilities"]
    assert elder.call("tasks/list", {})["error"]["code"] == -32601
    # A revision without tasks passes the wish over.
    at_once = {"name": "at_once", "arguments": {"word": "a"}, "task": "nonsense"}
    assert elder.call("tools/call", at_once)["result"]["content"][0]["text"] == "a"
    client = connect()
    discovered = client.stateless("server/discover", {})[1]["result"]["capabilities"]
    assert discovered["extensions"] == {TASKS: {}}
    assert "tasks" not in discovered
    assert "execution" not in client.stateless("tools/list", {})[1]["result"]["tools"][0]


def test_nothing_is_offered_without_such_tools(server: Any) -> None:
    client = server.connect()
    assert client.request("tasks/list")["error"]["code"] == -32601
    echoed = client.request("tools/call", {"name": "echo", "arguments": {"text": "a"}, "task": {}})
    assert echoed["result"]["content"][0]["text"] == "a"


def test_task_of_a_session(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    task = session.start("sleep", 60_000, seconds=0.2)
    assert (task["status"], task["ttl"]) == ("working", 60_000)
    assert set(task) == {"taskId", "status", "createdAt", "lastUpdatedAt", "ttl", "pollInterval"}
    by_id = {"taskId": task["taskId"]}
    assert session.call("tasks/get", by_id)["result"]["taskId"] == task["taskId"]
    result = session.call("tasks/result", by_id)["result"]
    assert result == {"content": [{"type": "text", "text": "slept"}], "_meta": {RELATED: by_id}}
    ended = session.call("tasks/get", by_id)["result"]
    assert ended["status"] == "completed"
    assert [each["params"] for each in session.told if each["method"] == "notifications/tasks/status"] == [ended]
    assert session.call("tasks/result", by_id)["result"] == result
    assert session.call("tasks/cancel", by_id)["error"]["code"] == -32602
    other = connect_tcp(server)
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        assert other.call(method, by_id)["error"]["code"] == -32602
    assert other.call("tasks/list", {})["result"] == {"tasks": []}


def test_task_is_cancelled(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    by_id = {"taskId": session.start("sleep", seconds=600)["taskId"]}
    waiting = session.send("tasks/result", by_id)
    assert session.call("tasks/cancel", by_id)["result"]["status"] == "cancelled"
    answer = session.receive(lambda message: message.get("id") == waiting)
    assert answer["error"]["message"].endswith("was cancelled, and has no result")
    assert session.call("tasks/get", by_id)["result"]["status"] == "cancelled"
    assert text_of(session.tool("stops")) == "1"
    assert session.call("tasks/cancel", by_id)["error"]["code"] == -32602


def test_tasks_are_listed_in_pages(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    started = [session.start("sleep", seconds=0)["taskId"] for _ in range(5)]
    found, params = [], {}
    for size in (2, 2, 1):
        page = session.call("tasks/list", params)["result"]
        assert len(page["tasks"]) == size
        found += [task["taskId"] for task in page["tasks"]]
        params = {"cursor": page.get("nextCursor")}
    assert params == {"cursor": None}
    assert found == started
    assert session.call("tasks/list", {"cursor": "é"})["error"]["code"] == -32602


def test_tools_say_whether_they_are_tasks(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    assert text_of(session.tool("sleep", seconds=0)) == "slept"
    assert session.tool("block")["error"]["code"] == -32601
    for forbidden in ("at_once", "stops"):
        as_task = {"name": forbidden, "arguments": {"word": "a"}, "task": {"ttl": 1}}
        assert session.call("tools/call", as_task)["error"]["code"] == -32601
    wrong = {"name": "sleep", "arguments": {"seconds": "long"}, "task": {}}
    assert session.call("tools/call", wrong)["error"]["code"] == -32602
    assert session.call("tools/call", {**wrong, "arguments": {"seconds": 0}, "task": 7})["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("how", "outcome"),
    [
        ("tool", {"content": [{"type": "text", "text": "it did not work"}], "isError": True}),
        ("other", {"content": [{"type": "text", "text": "fail failed"}], "isError": True}),
        ("request", {"code": -32603, "message": "it is broken"}),
    ],
)
def test_failures(serve_tasks: Any, how: str, outcome: Any) -> None:
    server, connect = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    by_id = {"taskId": session.start("fail", how=how)["taskId"]}
    answer = session.call("tasks/result", by_id)
    assert (answer.get("error") or {k: v for k, v in answer["result"].items() if k != "_meta"}) == outcome
    assert session.call("tasks/get", by_id)["result"]["status"] == "failed"
    client = connect()
    task_id = start(client, "fail", how=how)["taskId"]
    ended = until(server, lambda: stateless(client, "tasks/get", task_id)["result"], lambda t: t["status"] != "working")
    # A result that says of an error is a result all the same.
    assert ended["status"] == ("failed" if how == "request" else "completed")
    assert ended.get("error", outcome) == outcome
    assert ended.get("result", {}).get("isError", False) == (how != "request")


def test_thread_reports_in_a_task(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    params = {"name": "block", "arguments": {}, "task": {}, "_meta": {"progressToken": "t"}}
    task = session.call("tools/call", params)["result"]["task"]
    session.call("tasks/result", {"taskId": task["taskId"]})
    progress = [each["params"] for each in session.told if each["method"] == "notifications/progress"]
    assert [each["progress"] for each in progress] == [1, 2]
    assert {each["_meta"][RELATED]["taskId"] for each in progress} == {task["taskId"]}
    assert session.call("tasks/get", {"taskId": task["taskId"]})["result"]["statusMessage"] == "step 2"


def test_task_asks_over_the_request_for_its_result(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server, elicitation={})
    by_id = {"taskId": session.start("ask")["taskId"]}
    # Nothing is said of a task before it is known.
    assert session.told == []
    until(server, lambda: session.call("tasks/get", by_id)["result"]["status"], lambda s: s == "input_required")
    waiting = session.send("tasks/result", by_id)
    for word in ("first", "second"):
        question = session.receive(lambda message: message.get("method") == "elicitation/create")
        assert question["params"]["_meta"] == {RELATED: by_id}
        answer = {"action": "accept", "content": {"word": word}}
        session.client.send({"jsonrpc": "2.0", "id": question["id"], "result": answer})
    result = session.receive(lambda message: message.get("id") == waiting and "method" not in message)
    assert result["result"]["content"][0]["text"] == "first second"
    statuses = [each["params"]["status"] for each in session.told if each["method"] == "notifications/tasks/status"]
    assert statuses == ["input_required", "working", "input_required", "working", "completed"]
    refusing = {"taskId": session.start("ask")["taskId"]}
    waiting = session.send("tasks/result", refusing)
    question = session.receive(lambda message: message.get("method") == "elicitation/create")
    session.client.send({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}})
    refused = session.receive(lambda message: message.get("id") == waiting and "method" not in message)
    assert refused["error"]["message"] == "the client refused: no"


def test_question_is_asked_again_of_a_client_that_comes_back(serve_tasks: Any) -> None:
    _, connect = serve_tasks("task_app:app", "--workers", "2")
    client = connect()
    client.initialize(elicitation={})
    params = {"name": "ask", "arguments": {}, "task": {}}
    by_id = {"taskId": client.call("tools/call", params)[1]["result"]["task"]["taskId"]}
    request = {"jsonrpc": "2.0", "id": 5, "method": "tasks/result", "params": by_id}
    gone = connect()
    gone.session = client.session
    stream = gone.open("POST", request)
    assert next_event(stream)["method"] == "elicitation/create"
    stream.close()
    gone.connection.close()
    stream = client.open("POST", {**request, "id": 6})
    answering = connect()
    answering.session = client.session
    for word in ("first", "second"):
        question = next_event(stream)
        answer = {"action": "accept", "content": {"word": word}}
        assert answering.ask("POST", {"jsonrpc": "2.0", "id": question["id"], "result": answer})[0] == 202
    assert next_event(stream)["result"]["content"][0]["text"] == "first second"


def next_event(stream: Any) -> Any:
    """The next event of a stream that has data."""
    while line := stream.readline().decode():
        if line.startswith("data: {"):
            return json.loads(line[6:])
    raise AssertionError("the stream has ended")


def test_tasks_end_with_their_session(serve_tasks: Any) -> None:
    server, connect = serve_tasks("task_app:app", "--workers", "1")
    session, looking = connect_tcp(server), connect_tcp(server)
    session.start("sleep", seconds=600)
    until(server, lambda: text_of(looking.tool("starts")), lambda count: count == "1")
    session.client.socket.close()
    client = connect()
    client.initialize()
    client.call("tools/call", {"name": "sleep", "arguments": {"seconds": 600}, "task": {}})
    until(server, lambda: text_of(looking.tool("starts")), lambda count: count == "2")
    assert client.ask("DELETE") == (204, None)
    until(server, lambda: text_of(looking.tool("stops")), lambda count: count == "2")


def test_expiry(serve_tasks: Any) -> None:
    server, connect = serve_tasks("task_app:brief", "--workers", "1")
    session = connect_tcp(server)
    task = session.start("sleep", 60_000, seconds=600)
    # The server has the last word.
    assert task["ttl"] == 500
    expired = session.call("tasks/result", {"taskId": task["taskId"]})["error"]
    assert (expired["code"], expired["message"]) == (-32602, "the task has expired")
    assert session.call("tasks/get", {"taskId": task["taskId"]})["error"]["code"] == -32602
    client = connect()
    task = start(client, "sleep", seconds=600)
    assert task["ttlMs"] == 500

    def look() -> Any:
        return stateless(client, "tasks/get", task["taskId"])

    assert until(server, look, lambda answer: "error" in answer)["error"]["code"] == -32602
    assert text_of(session.tool("stops")) == "2"


def test_bounds(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "1")
    session = connect_tcp(server)
    long = {"taskId": session.start("fill", size=2**20)["taskId"]}
    assert "longer than" in session.call("tasks/result", long)["error"]["message"]
    # 64 MiB of results are kept, and no more.
    for _ in range(64):
        session.start("fill", size=2**20 - 200)
    last = {"taskId": session.start("fill", size=2**20)["taskId"]}
    session.call("tasks/result", last)
    refused = {"taskId": session.start("fill", size=2**20 - 200)["taskId"]}
    assert session.call("tasks/result", refused)["error"]["code"] == -32000
    for _ in range(1000 - 67):
        session.start("sleep", seconds=0)
    params = {"name": "sleep", "arguments": {"seconds": 0}, "task": {}}
    assert session.call("tools/call", params)["error"]["code"] == -32000
    # Others are not affected, and what a session had is free again after it.
    other = connect_tcp(server)
    assert other.call("tools/call", params)["result"]["task"]["status"] == "working"
    session.client.socket.close()

    def fits() -> Any:
        by_id = {"taskId": other.start("fill", size=1000_000)["taskId"]}
        return other.call("tasks/result", by_id)

    until(server, fits, lambda answer: "result" in answer)


def test_task_without_a_session(serve: Any) -> None:
    server, connect = serve("reports", "--workers", "2")
    task = start(connect(), "report", year=2025)
    assert (task["resultType"], task["status"], task["ttlMs"]) == ("task", "working", 900_000)

    def look() -> Any:
        # Connections go to either worker; the one that has the task gets them all.
        return stateless(connect(), "tasks/get", task["taskId"])["result"]

    asking = until(server, look, lambda seen: seen["status"] == "input_required")
    assert (asking["resultType"], asking["statusMessage"]) == ("complete", "month 12 of 12")
    (key,) = asking["inputRequests"]
    assert asking["inputRequests"][key]["params"]["message"] == "Publish the report of 2025?"
    wrong = {"inputResponses": {key: {"action": "perhaps"}}}
    assert stateless(connect(), "tasks/update", task["taskId"], wrong)["error"]["code"] == -32602
    right = {"inputResponses": {key: {"action": "accept", "content": {"publish": True}}, "other": 7}}
    acknowledged = stateless(connect(), "tasks/update", task["taskId"], right)["result"]
    assert set(acknowledged) == {"resultType", "_meta"}
    ended = until(server, look, lambda seen: seen["status"] == "completed")
    assert ended["result"]["content"][0]["text"] == "The report of 2025 is published."
    assert ended["result"]["resultType"] == "complete"
    assert server.total("connections_closed_total", "moved") > 0


def test_undeclared_and_unknown_tasks(serve_tasks: Any) -> None:
    _, connect = serve_tasks("task_app:app", "--workers", "1")
    client = connect()
    task_id = start(client, "sleep", seconds=600)["taskId"]
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        undeclared = stateless(client, method, task_id, {"inputResponses": {}}, meta={})["error"]
        assert undeclared["code"] == -32021
        assert undeclared["data"] == {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        for unknown in (f"{task_id[:-1]}x", "0-", "9-none", "none"):
            assert stateless(client, method, unknown, {"inputResponses": {}})["error"]["code"] == -32602
    required = client.stateless("tools/call", {"name": "block", "arguments": {}}, "block")[1]["error"]
    assert required["code"] == -32021
    sync = client.stateless("tools/call", {"name": "sleep", "arguments": {"seconds": 0}}, "sleep")[1]["result"]
    assert sync["content"][0]["text"] == "slept"
    mismatched = client.stateless("tasks/get", {"taskId": task_id}, "0-other", meta=DECLARED)[1]["error"]
    assert mismatched["code"] == -32020
    assert stateless(client, "tasks/cancel", task_id)["result"]["resultType"] == "complete"
    assert stateless(client, "tasks/get", task_id)["result"]["status"] == "cancelled"
    assert stateless(client, "tasks/cancel", task_id)["result"]["resultType"] == "complete"


def test_asking_before_the_task(serve: Any) -> None:
    server, connect = serve("reports", "--workers", "1")
    client = connect()
    call = {"name": "audit", "arguments": {"year": 2025}}
    asked = client.stateless("tools/call", call, "audit", meta=DECLARED)[1]["result"]
    assert asked["resultType"] == "input_required"
    assert "taskId" not in asked

    def retry(answer: Any) -> Any:
        params = {**call, "inputResponses": {"input1": answer}, "requestState": asked["requestState"]}
        return client.stateless("tools/call", params, "audit", meta=DECLARED)[1]["result"]

    # It need not become one.
    assert retry({"action": "decline"})["content"][0]["text"] == "Nothing was audited."
    task = retry({"action": "accept", "content": {"name": "Ada"}})
    assert task["resultType"] == "task"

    def look() -> Any:
        return stateless(client, "tasks/get", task["taskId"])["result"]

    ended = until(server, look, lambda seen: seen["status"] == "completed")
    assert ended["result"]["content"][0]["text"] == "Ada has audited 2025."


def test_listening_to_tasks(serve: Any) -> None:
    _, connect = serve("reports", "--workers", "2")
    client = connect()
    task_id = start(client, "report", year=2025)["taskId"]
    listen = {"notifications": {"taskIds": [task_id, "0-none"]}}
    body = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": {**listen, "_meta": client.META}}
    headers = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "subscriptions/listen"}
    assert client.ask("POST", body, **headers)[1]["error"]["code"] == -32021
    body["params"] = {**listen, "_meta": {**VERSION, **DECLARED}}
    stream = connect().open("POST", body, **headers)
    acknowledged = next_event(stream)["params"]
    assert acknowledged["notifications"] == {"taskIds": [task_id]}
    seen = next_event(stream)
    while seen["params"]["status"] != "input_required":
        seen = next_event(stream)
    assert seen["method"] == "notifications/tasks"
    assert seen["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == 7
    answers = {each: {"action": "decline"} for each in seen["params"]["inputRequests"]}
    stateless(client, "tasks/update", task_id, {"inputResponses": answers})
    while seen["params"]["status"] != "completed":
        seen = next_event(stream)
    assert seen["params"]["result"]["content"][0]["text"] == "The report of 2025 is written."
    stream.close()


def test_task_belongs_to_its_bearer(serve_tasks: Any, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("first\nsecond\n")
    _, connect = serve_tasks("task_app:app", "--workers", "1", "--token-file", str(tokens))
    client = connect()
    client.session = {"Authorization": "Bearer first"}
    task_id = start(client, "sleep", seconds=600)["taskId"]
    assert stateless(client, "tasks/get", task_id)["result"]["status"] == "working"
    other = stateless(client, "tasks/get", task_id, Authorization="Bearer second")
    assert other["error"]["code"] == -32602


def test_task_of_another_worker_over_tcp(serve_tasks: Any) -> None:
    server, _ = serve_tasks("task_app:app", "--workers", "2")

    def call(client: Any, method: str, params: Any) -> Any:
        return client.request(method, {**params, "_meta": {**VERSION, **DECLARED}})

    client = server.connect(initialized=False)
    task = call(client, "tools/call", {"name": "sleep", "arguments": {"seconds": 600}})["result"]
    by_id = {"taskId": task["taskId"]}
    assert call(client, "tasks/get", by_id)["result"]["status"] == "working"

    def look() -> Any:
        return call(server.connect(initialized=False), "tasks/get", by_id)

    # Which worker a connection goes to is the kernel's choice.
    assert until(server, look, lambda answer: "error" in answer)["error"]["code"] == -32000
    assert until(server, look, lambda answer: "result" in answer)["result"]["status"] == "working"

"""The official Python SDK 2.x against the everything app, in either era; run in an environment of its own.

Usage: sdk_2.py MODE URL | sdk_2.py MODE stdio COMMAND...; MODE is that of its client: auto, legacy or a version.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Literal

import mcp_types as types
from mcp.client.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.stdio import StdioServerParameters


class CreatedTask(types.Result):
    result_type: Literal["task"] = "task"
    task_id: str
    ttl_ms: int | None


class TaskState(types.Result):
    status: str
    input_requests: dict[str, Any] | None = None
    result: types.CallToolResult | None = None


class AboutTask(types.RequestParams):
    task_id: str
    input_responses: dict[str, Any] | None = None


class TaskRequest(types.Request[AboutTask, str]):
    name_param = "taskId"


class Tasks(ClientExtension):
    """What the SDK leaves to its users: to follow a task to its end, and to answer what it asks."""

    identifier = "io.modelcontextprotocol/tasks"

    def __init__(self) -> None:
        self.statuses: list[str] = []

    def claims(self) -> list[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=CreatedTask, resolve=self.follow)]

    async def follow(self, created: CreatedTask, context: ClaimContext) -> types.CallToolResult:
        while True:
            about = TaskRequest(method="tasks/get", params=AboutTask(task_id=created.task_id))
            state = await context.session.send_request(about, TaskState)
            self.statuses.append(state.status)
            if state.result is not None:
                return state.result
            if state.input_requests is not None:
                answers = {each: {"action": "accept", "content": {"confirm": True}} for each in state.input_requests}
                params = AboutTask(task_id=created.task_id, input_responses=answers)
                await context.session.send_request(TaskRequest(method="tasks/update", params=params), types.Result)
            await asyncio.sleep(0.05)


async def main() -> None:
    tasks = Tasks()
    mode = sys.argv[1]

    async def on_elicit(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": "ada", "color": "red"})

    async def on_sample(context: Any, params: Any) -> types.CreateMessageResult:
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(type="text", text="sampled"), model="none"
        )

    async def on_roots(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri="file:///home")])

    server: Any = sys.argv[2]
    if server == "stdio":
        server = StdioServerParameters(command=sys.argv[3], args=sys.argv[4:])
    async with Client(
        server,
        mode=mode,
        elicitation_callback=on_elicit,
        sampling_callback=on_sample,
        list_roots_callback=on_roots,
        extensions=[tasks],
    ) as client:
        assert client.protocol_version == ("2025-11-25" if mode == "legacy" else "2026-07-28"), client.protocol_version
        assert "test_simple_text" in {tool.name for tool in (await client.list_tools()).tools}
        text = await client.call_tool("test_simple_text", {})
        assert text.content[0].text == "This is a simple text response for testing."
        progress: list[float] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)

        await client.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        assert progress == [0, 50, 100]
        names = await client.call_tool("test_input_required_result_multi_round", {})
        assert names.content[0].text == "ada likes red"
        three = await client.call_tool("test_input_required_result_multiple_inputs", {})
        assert "all answered" in three.content[0].text
        contents = (await client.read_resource("test://template/7/data")).contents
        assert '"id":"7"' in contents[0].text
        prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        assert "arg1='a'" in prompt.messages[0].content.text
        deleted = await client.call_tool("confirm_delete", {"filename": "a"})
        assert deleted.content[0].text.startswith("deleted: ")
        if mode != "legacy":
            assert "input_required" in tasks.statuses
            assert tasks.statuses[-1] == "completed"
            named = await client.call_tool("test_tool_with_task", {})
            assert named.content[0].text == "Hello, ada!"
            async with client.listen(tools_list_changed=True) as subscription:
                await client.call_tool("test_trigger_tool_change", {})
                event = await asyncio.wait_for(anext(aiter(subscription)), 5)
                assert type(event).__name__ == "ToolsListChanged"
    print("ok")


asyncio.run(main())

"""The official Python SDK 1.x against the everything app; run in an environment of its own, with a URL or `stdio`.

Usage: sdk_1.py URL | sdk_1.py stdio COMMAND...
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

from mcp import ClientSession, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from pydantic import AnyUrl


async def main() -> None:
    updated: asyncio.Queue[str] = asyncio.Queue()
    logged: list[Any] = []

    async def on_message(message: Any) -> None:
        if isinstance(message, types.ServerNotification) and isinstance(
            message.root, types.ToolListChangedNotification
        ):
            updated.put_nowait("tools")

    async def on_log(params: types.LoggingMessageNotificationParams) -> None:
        logged.append(params.data)

    async def on_elicit(context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        content = {"username": "ada", "email": "ada@example.org", "confirm": True}
        return types.ElicitResult(action="accept", content=content)

    async def on_sample(context: Any, params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(type="text", text="sampled"), model="none"
        )

    async with AsyncExitStack() as stack:
        if sys.argv[1] == "stdio":
            server = StdioServerParameters(command=sys.argv[2], args=sys.argv[3:])
            streams: Any = await stack.enter_async_context(stdio_client(server))
        else:
            streams = await stack.enter_async_context(streamable_http_client(sys.argv[1]))
        session = await stack.enter_async_context(
            ClientSession(
                streams[0],
                streams[1],
                message_handler=on_message,
                logging_callback=on_log,
                elicitation_callback=on_elicit,
                sampling_callback=on_sample,
            )
        )
        initialized = await session.initialize()
        assert initialized.protocolVersion == "2025-11-25"
        tools = (await session.list_tools()).tools
        assert "test_simple_text" in {tool.name for tool in tools}
        text = await session.call_tool("test_simple_text", {})
        assert text.content[0].text == "This is a simple text response for testing."
        progress: list[float] = []

        async def on_progress(done: float, total: float | None, message: str | None) -> None:
            progress.append(done)

        await session.call_tool("test_tool_with_progress", {}, progress_callback=on_progress)
        assert progress == [0, 50, 100]
        await session.call_tool("test_tool_with_logging", {})
        assert len(logged) == 3
        assert "ada@example.org" in (await session.call_tool("test_elicitation", {"message": "?"})).content[0].text
        assert "sampled" in (await session.call_tool("test_sampling", {"prompt": "?"})).content[0].text
        assert (await session.call_tool("test_error_handling", {})).isError
        resources = (await session.list_resources()).resources
        assert "test://static-text" in {str(resource.uri) for resource in resources}
        contents = (await session.read_resource(AnyUrl("test://template/7/data"))).contents
        assert '"id":"7"' in contents[0].text
        prompt = await session.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
        assert "arg1='a'" in prompt.messages[0].content.text
        await use_tasks(session)
        await session.subscribe_resource(AnyUrl("test://watched-resource"))
        # The GET stream, over which the list is said to have changed, is opened beside other requests.
        await asyncio.sleep(0.5)
        await session.call_tool("test_trigger_tool_change", {})
        assert await asyncio.wait_for(updated.get(), 5) == "tools"
        await session.send_ping()
    print("ok")


async def use_tasks(session: ClientSession) -> None:
    """Start a task, list it, answer its question over the request for its result; cancel another."""
    started = await session.experimental.call_tool_as_task("confirm_delete", {"filename": "a"}, ttl=60_000)
    async for state in session.experimental.poll_task(started.task.taskId):
        if state.status == "input_required":
            break
    assert state.ttl == 60_000
    assert started.task.taskId in {task.taskId for task in (await session.experimental.list_tasks()).tasks}
    result = await session.experimental.get_task_result(started.task.taskId, types.CallToolResult)
    assert result.content[0].text == "deleted: True"
    assert result.meta["io.modelcontextprotocol/related-task"] == {"taskId": started.task.taskId}
    assert (await session.experimental.get_task(started.task.taskId)).status == "completed"
    endless = await session.experimental.call_tool_as_task("slow_compute", {"seconds": 600})
    assert (await session.experimental.cancel_task(endless.task.taskId)).status == "cancelled"


asyncio.run(main())

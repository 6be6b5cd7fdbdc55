"""The official Python SDK 2.x against the everything app, in either era; run in an environment of its own.

Usage: sdk_2.py MODE URL | sdk_2.py MODE stdio COMMAND...; MODE is that of its client: auto, legacy or a version.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import mcp_types as types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters


async def main() -> None:
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
        if mode != "legacy":
            async with client.listen(tools_list_changed=True) as subscription:
                await client.call_tool("test_trigger_tool_change", {})
                event = await asyncio.wait_for(anext(aiter(subscription)), 5)
                assert type(event).__name__ == "ToolsListChanged"
    print("ok")


asyncio.run(main())

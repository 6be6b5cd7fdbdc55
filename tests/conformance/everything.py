"""The app that the official conformance suite wants to find: https://github.com/modelcontextprotocol/conformance."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any

import msgspec

from c100k_server import (
    ROOTS,
    App,
    Audio,
    Context,
    Embedded,
    Image,
    Message,
    RequestError,
    Text,
    TextResource,
    ToolError,
    elicitation,
    sampling,
)

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
)
WAV = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=")

app = App("c100k-everything", version="1.0.0", list_changed=True)


class Name(msgspec.Struct):
    name: str


class Confirmation(msgspec.Struct):
    ok: bool


class Confirm(msgspec.Struct):
    confirm: bool


class Color(msgspec.Struct):
    color: str


class SomeContext(msgspec.Struct):
    context: str


@app.tool(inline=True)
def test_simple_text() -> str:
    """Returns simple text."""
    return "This is a simple text response for testing."


@app.tool
def test_image_content() -> Image:
    """Returns an image."""
    return Image(PNG, "image/png")


@app.tool
def test_audio_content() -> Audio:
    """Returns audio."""
    return Audio(WAV, "audio/wav")


@app.tool
def test_embedded_resource() -> Embedded:
    """Returns an embedded resource."""
    return Embedded(TextResource("test://embedded-resource", "This is an embedded resource content.", "text/plain"))


@app.tool
def test_multiple_content_types() -> list[Text | Image | Embedded]:
    """Returns text, an image and a resource."""
    data = TextResource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return [Text("Multiple content types test:"), Image(PNG, "image/png"), Embedded(data)]


@app.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Logs while it runs."""
    ctx.log("info", "Tool execution started")
    await asyncio.sleep(0.05)
    ctx.log("info", "Tool processing data")
    await asyncio.sleep(0.05)
    ctx.log("info", "Tool execution completed")
    return "Tool with logging executed successfully"


@app.tool
async def test_logging_tool(ctx: Context) -> str:
    """Logs once."""
    ctx.log("info", "A log message")
    return "logged"


@app.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Reports its progress."""
    for progress in (0, 50, 100):
        ctx.progress(progress, 100, f"Completed step {progress} of 100")
        await asyncio.sleep(0.05)
    return "Tool with progress executed successfully"


@app.tool
def test_error_handling() -> str:
    """Always fails."""
    raise ToolError("This tool intentionally returns an error for testing")


@app.tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Asks the model of the client."""
    answer = await ctx.sample(prompt, max_tokens=100)
    return f"LLM response: {answer['content'].get('text', '')}"


@app.tool
async def test_elicitation(message: str, ctx: Context) -> str:
    """Asks the user."""
    properties = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    schema = {"type": "object", "properties": properties, "required": ["username", "email"]}
    answer = await ctx.elicit(message, schema)
    return f"User response: action={answer.action}, content={answer.content}"


@app.tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Asks the user, with default values."""
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    answer = await ctx.elicit("Please review the form", {"type": "object", "properties": properties, "required": []})
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


@app.tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Asks the user to choose."""
    options = ["option1", "option2", "option3"]
    titled = [
        {"const": "value1", "title": "First Option"},
        {"const": "value2", "title": "Second Option"},
        {"const": "value3", "title": "Third Option"},
    ]
    properties = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    answer = await ctx.elicit("Please choose", {"type": "object", "properties": properties, "required": []})
    return f"Elicitation completed: action={answer.action}, content={answer.content}"


@app.tool
async def test_reconnection(ctx: Context) -> str:
    """Closes its stream, for the client to come back for the answer."""
    ctx.close_stream()
    await asyncio.sleep(0.1)
    return "Reconnection test completed successfully"


@app.tool(
    name="json_schema_2020_12_tool",
    description="Tool with JSON Schema 2020-12 features",
    input_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
)
def json_schema_tool(arguments: dict[str, Any]) -> str:
    return msgspec.json.encode(arguments).decode()


@app.tool
async def test_missing_capability(ctx: Context) -> str:
    """Needs sampling."""
    await ctx.sample("Hello", max_tokens=10)
    return "sampled"


@app.tool
async def test_streaming_elicitation(ctx: Context) -> str:
    """Needs elicitation."""
    ctx.progress(0, 1)
    answer = await ctx.elicit("What is your name?", Name)
    return f"Hello, {answer.content.get('name')}!"


@app.tool
def test_trigger_tool_change() -> str:
    """Says that the list of tools has changed."""
    app.changed("tools")
    return "tools changed"


@app.tool
def test_trigger_prompt_change() -> str:
    """Says that the list of prompts has changed."""
    app.changed("prompts")
    return "prompts changed"


@app.tool
def test_header_tool(region: Annotated[str, msgspec.Meta(extra_json_schema={"x-mcp-header": "Region"})]) -> str:
    """Repeats its argument as a header."""
    return region


@app.tool
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Asks the user for a name."""
    answer = await ctx.elicit("What is your name?", Name, key="user_name")
    return f"Hello, {answer.content.get('name')}!"


@app.tool
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Asks the model for a capital."""
    answer = await ctx.sample("What is the capital of France?", max_tokens=100, key="capital_question")
    return str(answer["content"].get("text"))


@app.tool
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Asks for the roots."""
    return str([root["uri"] for root in await ctx.roots(key="client_roots")])


@app.tool
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Asks the user to confirm."""
    answer = await ctx.elicit("Please confirm", Confirmation, key="confirm")
    return f"state-ok: {answer.action}"


@app.tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Asks for three things at once."""
    answers = await ctx.ask(
        {
            "user_name": elicitation("What is your name?", Name),
            "greeting": sampling("Generate a greeting", 50),
            "client_roots": ROOTS,
        }
    )
    return f"all answered: {sorted(answers)}"


@app.tool
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Asks twice."""
    name = await ctx.elicit("Step 1: What is your name?", Name, key="step1")
    color = await ctx.elicit("Step 2: What is your favorite color?", Color, key="step2")
    return f"{name.content.get('name')} likes {color.content.get('color')}"


@app.tool
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Asks for a confirmation that cannot be forged."""
    answer = await ctx.elicit("Please confirm", Confirmation, key="confirm")
    return f"confirmed: {answer.action}"


@app.tool
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Asks for what the client can give."""
    questions = {
        "user_name": elicitation("What is your name?", Name),
        "greeting": sampling("Generate a greeting", 50),
        "client_roots": ROOTS,
    }
    answers = await ctx.ask({k: each for k, each in questions.items() if ctx.client_supports(each.capability)})
    return f"answered: {sorted(answers)}"


@app.tool
def greet(name: str) -> str:
    """Greets, and is never a task."""
    return f"Hello, {name}!"


@app.tool(task="optional")
async def slow_compute(seconds: float, ctx: Context, label: str = "") -> str:
    """Takes its time."""
    ctx.progress(0, 1, f"computing {label}")
    await asyncio.sleep(seconds)
    return f"computed {label}"


@app.tool(task="required")
async def failing_job() -> str:
    """Fails as tools do."""
    await asyncio.sleep(1)
    raise ToolError("This job always fails")


@app.tool(task="required")
async def protocol_error_job() -> str:
    """Fails as requests do."""
    raise RequestError(-32603, "This job breaks the protocol")


@app.tool(task="optional")
async def confirm_delete(filename: str, ctx: Context) -> str:
    """Asks the user while it is a task."""
    answer = await ctx.elicit(f"Delete {filename}?", Confirm, key="confirm")
    return f"deleted: {answer.action == 'accept' and answer.content.get('confirm')}"


@app.tool(task="optional")
async def multi_input(ctx: Context) -> str:
    """Asks two things at once while it is a task."""
    asked = {key: elicitation(f"What is the {key} name?", Name) for key in ("first", "second")}
    return " ".join(answer["content"]["name"] for answer in (await ctx.ask(asked)).values())


@app.tool(task="required", asks_first=True)
async def test_tool_with_task(ctx: Context) -> str:
    """Asks the user before it is a task."""
    answer = await ctx.elicit("What is your name?", Name, key="user_name")
    await ctx.start_task()
    await asyncio.sleep(0.1)
    return f"Hello, {answer.content.get('name')}!"


@app.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    """A static text resource."""
    return "This is the content of the static text resource."


@app.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    """A static binary resource."""
    return PNG


@app.resource("test://watched-resource", mime_type="text/plain")
def watched_resource() -> str:
    """A resource to subscribe to."""
    return "Watched resource content"


@app.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> dict[str, Any]:
    """A template."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@app.prompt
def test_simple_prompt() -> str:
    """A simple prompt."""
    return "This is a simple prompt for testing."


@app.prompt
def test_prompt_with_arguments(
    arg1: Annotated[str, msgspec.Meta(description="First test argument")],
    arg2: Annotated[str, msgspec.Meta(description="Second test argument")],
) -> str:
    """A prompt with arguments."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@app.complete("test_prompt_with_arguments", "arg1")
def complete_arg1(value: str) -> list[str]:
    return [each for each in ("paris", "park", "party") if each.startswith(value)]


@app.prompt
def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:
    """A prompt with a resource in it."""
    resource = TextResource(resourceUri, "Embedded resource content for testing.", "text/plain")
    return [Message(Embedded(resource)), Message(Text("Please process the embedded resource above."))]


@app.prompt
def test_prompt_with_image() -> list[Message]:
    """A prompt with an image in it."""
    return [Message(Image(PNG, "image/png")), Message(Text("Please analyze the image above."))]


@app.prompt
async def test_input_required_result_prompt(ctx: Context) -> str:
    """A prompt that asks the user."""
    answer = await ctx.elicit("What context should the prompt use?", SomeContext, key="user_context")
    return f"Use the context {answer.content.get('context')}"

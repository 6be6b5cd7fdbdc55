"""Input door: standard input, as a client that starts the server uses it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import zlib

from c100k_server.app import App
from c100k_server.session import UNREADABLE_MAX
from c100k_server.stdio import serve_stdio
from fuzz.app import make_app
from fuzz.bench import INSTRUCTIONS, Bench, cutting
from fuzz.judge import answers, read_lines, requests_in, require


def check(bench: Bench, data: bytes) -> None:
    """Raises `Finding`. Instructions are not obeyed here."""
    data = INSTRUCTIONS.sub(b"", data)
    with bench.watched():
        received = bench.loop.run_until_complete(_play(bench, make_app()[0], data))
    given = [json.dumps(each["id"]) for each in answers(read_lines(received))]
    if any(word in data for word in (b"cancel", b"listen", b"\\u")) or given.count("null") >= UNREADABLE_MAX:
        return
    for request_id, count in requests_in(data.split(b"\n")).items():
        answered = given.count(request_id)
        if "\\u" not in request_id:
            require(count <= answered <= data.count(request_id.encode()), "not answered once", request_id, answered)


async def _play(bench: Bench, app: App, data: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    standard_input, ours = os.pipe()
    theirs, standard_output = os.pipe()
    received = bytearray()
    ended = loop.create_future()

    def read() -> None:
        chunk = os.read(theirs, 65536)
        received.extend(chunk)
        if not chunk:
            loop.remove_reader(theirs)
            ended.set_result(None)

    loop.add_reader(theirs, read)
    serving = await _serve(app, standard_input, standard_output)
    # A server that has given the client up reads no more.
    with contextlib.suppress(BrokenPipeError):
        for segment in cutting(zlib.crc32(data))(data):
            os.write(ours, segment)
            await asyncio.sleep(0)
    os.close(ours)
    await bench.until(lambda: serving.done() and ended.done(), "the server ends with its input")
    await serving
    os.close(theirs)
    await bench.until(lambda: len(asyncio.all_tasks()) == 1, "tasks end")
    # Transports close in turns of their own.
    for _ in range(3):
        await asyncio.sleep(0)
    return bytes(received)


async def _serve(app: App, standard_input: int, standard_output: int) -> asyncio.Task[None]:
    """Start to serve on these files in the place of 0 and 1, which the server takes before it first waits."""
    python_input, output = sys.stdin, os.dup(1)
    sys.stdin = os.fdopen(standard_input, "rb", 0)
    os.dup2(standard_output, 1)
    os.close(standard_output)
    try:
        serving = asyncio.get_running_loop().create_task(serve_stdio(app))
        await asyncio.sleep(0)
    finally:
        sys.stdin = python_input
        os.dup2(output, 1)
        os.close(output)
    return serving

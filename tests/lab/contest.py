"""Two clients fight for each session: one that asks the same node whatever happens, and one that asks any other.

Both ask for the same increment until one of them has it acknowledged. So whichever side of a partition acknowledges,
the value must be the number of the increment, and the counter must be there at the end.
"""

from __future__ import annotations

import asyncio
import csv
import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"experimental": {"c100k/resume": {}}},
    "clientInfo": {"name": "contest", "version": "0"},
}
# Longer than a server holds a client that resumes.
ANSWER_S = 6.0
END_S = 30.0
REFUSED = "error"
UNKNOWN = "unknown"

Address = tuple[str, int]


class Lost(Exception):
    """The connection, or the answer."""


class Refused(Exception):
    """The server answered with an error."""


class Client:
    """A connection that asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._id = 0

    @classmethod
    async def connect(cls, address: Address) -> Client:
        try:
            async with asyncio.timeout(ANSWER_S):
                return cls(*await asyncio.open_connection(*address))
        except (OSError, TimeoutError):
            raise Lost from None

    async def ask(self, method: str, params: dict[str, Any]) -> Any:
        """Raises `Lost` and `Refused`."""
        self._id += 1
        message = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": params}
        try:
            self._writer.write(json.dumps(message).encode() + b"\n")
            async with asyncio.timeout(ANSWER_S):
                while line := await self._reader.readline():
                    answer = json.loads(line)
                    if answer.get("id") == self._id:
                        if "error" in answer or answer["result"].get("isError"):
                            raise Refused(line.decode())
                        return answer["result"]
        except (OSError, TimeoutError):
            pass
        raise Lost

    async def call(self, tool: str, **arguments: int) -> dict[str, int]:
        result = await self.ask("tools/call", {"name": tool, "arguments": arguments})
        found: dict[str, int] = result["structuredContent"]
        return found

    def close(self) -> None:
        self._writer.transport.abort()


class Contest:
    """One session. `operation` is the increment that both clients are at; `rows` has what became of each attempt."""

    def __init__(self, number: int, session_id: str) -> None:
        self.number = number
        self.session_id = session_id
        self.operation = 1
        self.contradictions: list[tuple[int, int]] = []
        self.rows: list[tuple[int, int, int, int, str]] = []
        self.acknowledged: dict[int, int] = {}

    async def take_part(self, choose: Callable[[], Address], chance: random.Random) -> None:
        """Ask for ever."""
        client: Client | None = None
        try:
            while True:
                operation = self.operation
                try:
                    if client is None:
                        client = await Client.connect(choose())
                        await client.ask("c100k/resume", {"sessionId": self.session_id})
                    count = await client.call("increment", operation=operation)
                    self._acknowledge(operation, count["n"])
                except (Lost, Refused) as problem:
                    self._note(operation, REFUSED if isinstance(problem, Refused) else UNKNOWN)
                    if client is not None:
                        client.close()
                        client = None
                await asyncio.sleep(chance.uniform(0, 0.1))
        finally:
            if client is not None:
                client.close()

    def _acknowledge(self, operation: int, value: int) -> None:
        if self.acknowledged.setdefault(operation, value) != value or value != operation:
            self.contradictions.append((operation, value))
        self._note(operation, str(value))
        if operation == self.operation:
            self.operation += 1

    def _note(self, operation: int, outcome: str) -> None:
        if operation == self.operation:
            self.rows.append((0, self.number, operation, 1, outcome))

    async def read(self, address: Address) -> int:
        """The counter as it is in the end, however long the servers take to be well."""
        async with asyncio.timeout(END_S):
            while True:
                with suppress(Lost, Refused):
                    client = await Client.connect(address)
                    try:
                        await client.ask("c100k/resume", {"sessionId": self.session_id})
                        return (await client.call("read"))["n"]
                    finally:
                        client.close()
                await asyncio.sleep(0.1)


async def begin(number: int, address: Address) -> Contest:
    """A new session, however long the server takes to be well after what came before."""
    async with asyncio.timeout(END_S):
        while True:
            with suppress(Lost, Refused):
                client = await Client.connect(address)
                try:
                    result = await client.ask("initialize", INITIALIZE)
                    return Contest(number, result["_meta"]["c100k/sessionId"])
                finally:
                    client.close()
            await asyncio.sleep(0.1)


def write(directory: Path, contests: list[Contest], counters: list[int]) -> None:
    """What the checker of a run reads."""
    directory.mkdir(parents=True)
    with (directory / "contest-w0-operations.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["t", "session", "operation", "attempt", "outcome"])
        rows.writerows(row for each in contests for row in each.rows)
    with (directory / "contest-w0-counters.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["session", "acked", "last_operation", "counter"])
        for each, counter in zip(contests, counters, strict=True):
            rows.writerow((each.number, max(each.acknowledged.values(), default=0), each.operation, counter))

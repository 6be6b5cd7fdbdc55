"""An MCP server over TCP whose sessions outlive their connections, in its memory, and which misbehaves on purpose:
`python misbehaving_session_server.py BEHAVIOUR`.

It prints its port, and when it is told to stop (SIGTERM) what it counted, as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

COUNTS: Counter[str] = Counter()
SESSIONS: dict[str, Stored] = {}
CONNECTIONS: set[Connection] = set()
RETRY_AFTER_MS = 50
# One call in so many goes wrong.
EVERY = 10
BREAKS_AFTER_CALLS = 60
MISSED = 2
LATE_S = 0.4


@dataclass
class Name:
    owner: Stored | None
    values: list[str]
    changed_at: float


NAMES: dict[str, Name] = {}


@dataclass
class Stored:
    operation: int = 0
    n: int = 0
    event: int = 0


class Connection(asyncio.Protocol):
    def __init__(self, behaviour: str) -> None:
        self._behaviour = behaviour
        self._rest = b""
        self._silent = False
        self._transport: asyncio.Transport
        self._session: Stored | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        CONNECTIONS.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        CONNECTIONS.discard(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not (self._silent or self._transport.is_closing()):
                self._handle(json.loads(line))

    def _handle(self, message: dict[str, Any]) -> None:
        COUNTS[message["method"]] += 1
        match message["method"]:
            case "ping" if self._behaviour == "ignores_pings" and COUNTS["tools/call"]:
                pass
            case "ping":
                self._answer(message, {})
            case "initialize":
                self._initialize(message)
            case "c100k/resume":
                self._resume(message)
            case "tools/call":
                self._called(message)
            case method if method.startswith("c100k/registry/"):
                self._name(message, method.rpartition("/")[2], message["params"])

    def _send(self, message: dict[str, Any]) -> None:
        self._transport.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def _answer(self, message: dict[str, Any], result: dict[str, Any]) -> None:
        self._send({"id": message["id"], "result": result})

    def _refuse(self, message: dict[str, Any], code: int, **data: Any) -> None:
        COUNTS[str(code)] += 1
        self._send({"id": message["id"], "error": {"code": code, "message": "no", "data": data}})

    def _initialize(self, message: dict[str, Any]) -> None:
        params = message["params"]
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {}, "serverInfo": {"name": "t"}}
        if "experimental" in params["capabilities"]:
            COUNTS["sessions"] += 1
            session_id = str(COUNTS["sessions"])
            self._session = SESSIONS[session_id] = Stored()
            if self._behaviour != "keeps_nothing":
                result["_meta"] = {"c100k/sessionId": session_id, "c100k/eventId": "0"}
        self._answer(message, result)

    def _resume(self, message: dict[str, Any]) -> None:
        params = message["params"]
        session = SESSIONS.get(params["sessionId"])
        if self._behaviour == "unavailable" and COUNTS["c100k/resume"] % 2:
            self._refuse(message, -32010, retryAfterMs=RETRY_AFTER_MS)
            return
        if session is None:
            self._refuse(message, -32004)
            return
        COUNTS["wrong_event_ids"] += params["lastEventId"] != str(session.event)
        self._session = session
        result = {"protocolVersion": "2025-11-25", "eventId": params["lastEventId"], "missed": MISSED}
        self._answer(message, result)
        for _ in range(MISSED):
            session.event += 1
            meta = {"_meta": {"c100k/eventId": str(session.event)}}
            self._send({"method": "notifications/message", "params": {"level": "info", **meta}})

    def _called(self, message: dict[str, Any]) -> None:
        name = message["params"]["name"]
        COUNTS[name] += 1
        if name == "read" and self._behaviour == "cannot_read":
            self._refuse(message, -32603)
        elif name == "read":
            assert self._session is not None
            self._count(message, self._session)
        elif COUNTS["tools/call"] % EVERY == 0 and self._goes_wrong(message, name):
            COUNTS["went_wrong"] += 1
        elif name == "increment":
            assert self._session is not None
            self._increment(message, self._session)
            self._count(message, self._session)
        else:
            content = [{"type": "text", "text": message["params"]["arguments"]["text"]}]
            self._answer(message, {"content": content})

    def _goes_wrong(self, message: dict[str, Any], name: str) -> bool:
        """Whether a call came to something else than its answer."""
        match self._behaviour:
            case "moves":
                self._refuse(message, -32011)
                self._transport.close()
            case "unavailable" if COUNTS["tools/call"] % (2 * EVERY):
                self._refuse(message, -32010, retryAfterMs=RETRY_AFTER_MS)
            case "unavailable" | "hangs_up":
                self._transport.close()
            case "answers_nothing":
                if name == "increment" and self._session is not None:
                    self._increment(message, self._session)
                self._transport.close()
            case "sends_away":
                self._send({"method": "notifications/c100k/unavailable"})
                return False
            case "forgets" if COUNTS["tools/call"] == BREAKS_AFTER_CALLS:
                SESSIONS.clear()
                for each in CONNECTIONS:
                    each._transport.close()
            case "falls_silent" if COUNTS["tools/call"] == BREAKS_AFTER_CALLS:
                for each in CONNECTIONS:
                    each._silent = True
            case "doubles" if name == "increment" and self._session is not None:
                self._session.n += 1
                return False
            case _:
                return False
        return True

    def _increment(self, message: dict[str, Any], session: Stored) -> None:
        operation = message["params"]["arguments"]["operation"]
        if operation > session.operation:
            session.operation, session.n = operation, session.n + 1

    def _count(self, message: dict[str, Any], session: Stored) -> None:
        self._answer(message, {"content": [], "structuredContent": {"operation": session.operation, "n": session.n}})

    def _name(self, message: dict[str, Any], method: str, params: dict[str, Any]) -> None:
        """Without misbehaviour, a registry as it should be."""
        name, behaviour = params["name"], self._behaviour
        if method == "find":
            values = NAMES[name].values if name in NAMES else []
            if behaviour == "loses_names" and COUNTS[message["method"]] % EVERY == 0:
                COUNTS["went_wrong"] += 1
                values = []
            elif behaviour == "mixes_up_names" and COUNTS[message["method"]] % EVERY == 0:
                COUNTS["went_wrong"] += 1
                values = ["somebody else's"]
            elif behaviour == "tells_old_values":
                values = values[:1]
            elif behaviour == "tells_changes_late" and time.monotonic() - NAMES[name].changed_at < LATE_S:
                values = values[-2:-1] or values
            found = {"name": name, "node": "n", "value": values[-1], "found": True} if values else {"found": False}
            self._answer(message, found)
        elif method == "register" and (behaviour == "has_given_all_names" or self._is_taken(name)):
            self._refuse(message, -32005)
        elif method == "register":
            values = NAMES[name].values if name in NAMES else []
            NAMES[name] = Name(self._session, [*values, params["value"]], time.monotonic())
            self._answer(message, {"name": name, "node": "n"})
        else:
            del NAMES[name]
            self._answer(message, {})

    def _is_taken(self, name: str) -> bool:
        return self._behaviour != "gives_names_twice" and name in NAMES and NAMES[name].owner is not self._session


async def serve(behaviour: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(lambda: Connection(behaviour), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopped.wait()
    print(json.dumps(COUNTS), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))

"""The least that can load a server over TCP on a schedule: one uvloop process, a timer of a millisecond, and counts.

`bare_client.py PORT CONNECTIONS RATE RAMP_S HOLD_S` prints its own cost as one JSON object. It asks for the same
echoes as the generator, and looks at nothing of an answer but its id.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import msgspec
import uvloop

TICK_S = 0.001
OPENING_AT_ONCE = 100
SETTLE_S = 2
INITIALIZE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bare", "version": "0"}}
LETTERS = "abcdefghijklmnopqrstuvwxyz" * 4


class Answer(msgspec.Struct, gc=False):
    id: int


decode = msgspec.json.Decoder(Answer).decode


class Client(asyncio.Protocol):
    __slots__ = ("live", "transport")

    sent_at: dict[int, float]
    took_us: list[int]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # uvloop's own class
        self.live = False
        self.transport.write(request(0, "initialize", INITIALIZE))

    def data_received(self, data: bytes) -> None:
        if not self.live:
            self.live = True
            self.transport.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
            return
        now = time.monotonic()
        for line in data.split(b"\n")[:-1]:
            self.took_us.append(int((now - self.sent_at.pop(decode(line).id)) * 1e6))


def request(number: int, method: str, params: dict[str, object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def run(port: int, connections: int, rate: int, ramp_s: int, hold_s: int) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    Client.sent_at, Client.took_us = {}, []
    idle_bytes = rss_bytes()
    clients: list[Client] = []
    began = time.monotonic()
    while len(clients) < connections:
        made = [
            loop.create_connection(Client, "127.0.0.1", port)
            for _ in range(min(OPENING_AT_ONCE, connections - len(clients)))
        ]
        clients += [client for _, client in await asyncio.gather(*made)]
        await asyncio.sleep(began + ramp_s * len(clients) / connections - time.monotonic())
    held_bytes = rss_bytes()
    start, sent, late_us = time.monotonic(), 0, list[int]()
    spent_s = answered = 0.0
    measuring = False
    while (now := time.monotonic()) < start + SETTLE_S + hold_s:
        if not measuring and now >= start + SETTLE_S:
            measuring, spent_s, answered = True, time.process_time(), len(Client.took_us)
            late_us.clear()
        for number in range(sent, int((now - start) * rate)):
            text = f"{number}-{LETTERS}"[:100]
            line = (
                f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call",'
                f'"params":{{"name":"echo","arguments":{{"text":"{text}"}}}}}}\n'
            )
            sent = number + 1
            Client.sent_at[number] = at = time.monotonic()
            late_us.append(int((at - start - number / rate) * 1e6))
            clients[number % connections].transport.write(line.encode("ascii"))
        await asyncio.sleep(TICK_S)
    spent_s, answered = time.process_time() - spent_s, len(Client.took_us) - answered
    return {
        "cpu_us": spent_s / answered * 1e6,
        "kib": (held_bytes - idle_bytes) / connections / 1024,
        "answered_per_s": answered / hold_s,
        "slip_p999_ms": sorted(late_us)[int(len(late_us) * 0.999)] / 1000,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(*map(int, sys.argv[1:])))))

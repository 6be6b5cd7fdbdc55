"""A server of MCP over stdio that ends in one of several ways.

exit      at the first call, with 7, and says why on stderr
killed    at the first call, by SIGKILL
never     neither when its stdin is closed, nor by SIGTERM; and it starts another process that does not either
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

BEHAVIOUR, TITLE = sys.argv[1], sys.argv[2]


def answer(message: dict[str, object], result: object) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)


if BEHAVIOUR == "never":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if len(sys.argv) == 3:
        subprocess.Popen(
            [sys.executable, __file__, BEHAVIOUR, TITLE, "inner"], stdin=subprocess.DEVNULL, stdout=sys.stderr
        )
print("starting", file=sys.stderr)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["method"] == "initialize":
        info = {"name": "misbehaving", "version": "0"}
        answer(asked, {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info})
    elif asked["method"] == "tools/call" and BEHAVIOUR == "exit":
        print("the disk is full", file=sys.stderr)
        sys.exit(7)
    elif asked["method"] == "tools/call" and BEHAVIOUR == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif asked["method"] == "tools/call":
        answer(asked, {"content": [{"type": "text", "text": asked["params"]["arguments"]["text"]}]})
while BEHAVIOUR == "never":
    time.sleep(1)

"""A headless Chromium that takes a picture of a page, driven over its DevTools protocol.

The protocol is described at https://chromedevtools.github.io/devtools-protocol/.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

DEADLINE_S = 60
#: Grafana's charts come in one by one; a page that has been silent for so long has all of them.
SETTLE_S = 2.0


class PageError(Exception):
    """The page did not draw what it should."""


class Page:
    """A tab of the browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            self._call(f"{domain}.enable")

    def picture(self, url: str, selector: str) -> bytes:
        """The PNG of an element of a page, once it is there and the page has settled.

        Raises:
            PageError: a script of the page failed, or the element does not appear.
        """
        self._call("Page.navigate", url=url)
        box = self._box(selector)
        size = {"width": round(box["width"]), "height": round(box["height"])}
        self._call("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=1, mobile=False)
        time.sleep(SETTLE_S)
        shot = self._call("Page.captureScreenshot", clip={"x": 0, "y": 0, **size, "scale": 1})
        return base64.b64decode(shot["data"])

    def _box(self, selector: str) -> dict[str, float]:
        expression = f"JSON.stringify(document.querySelector({json.dumps(selector)})?.getBoundingClientRect())"
        give_up_at = time.monotonic() + DEADLINE_S
        while time.monotonic() < give_up_at:
            if text := self._call("Runtime.evaluate", expression=expression)["result"].get("value"):
                box: dict[str, float] = json.loads(text)
                return box
            time.sleep(0.1)
        raise PageError(f"there is no {selector} after {DEADLINE_S} s")

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        session = {} if self._session is None else {"sessionId": self._session}
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters, **session}))
        while True:
            message = json.loads(self._connection.recv(timeout=DEADLINE_S))
            if message.get("method") == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                raise PageError(details.get("exception", {}).get("description", details["text"]))
            if message.get("id") == number:
                if "error" in message:
                    raise PageError(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result


@contextmanager
def page() -> Iterator[Page]:
    """A tab of a browser of its own, which ends with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        flags = ["--headless", "--remote-debugging-port=0", f"--user-data-dir={profile}", "--hide-scrollbars"]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []
        process = subprocess.Popen(["chromium", *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connect(_endpoint(Path(profile, "DevToolsActivePort")), max_size=None) as connection:
                yield Page(connection)
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def _endpoint(file: Path) -> str:
    """Where the browser says in this file that it can be reached: its port, and a path."""
    give_up_at = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up_at:
        if file.exists() and len(lines := file.read_text().split()) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.1)
    raise PageError("chromium does not start")

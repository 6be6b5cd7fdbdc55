"""Events: one JSON object per line on stderr, which journald keeps."""

from __future__ import annotations

import contextlib
import sys
import time

import msgspec


def emit(event: str, **facts: object) -> None:
    """Print `{"t": <unix seconds>, "event": event, **facts}`."""
    line = msgspec.json.encode({"t": round(time.time(), 6), "event": event, **facts}).decode()
    # Whoever read stderr may be gone; the service goes on without them.
    with contextlib.suppress(OSError):
        # In one go with its end, unlike what print does: other workers write there too.
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

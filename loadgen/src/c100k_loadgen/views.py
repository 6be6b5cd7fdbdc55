"""What a run shows while it happens: events for a journal, lines for a file, a few lines that move for a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from hdrh.histogram import HdrHistogram

from c100k_loadgen.status import Status
from c100k_loadgen.words import describe

_BAR = 30
_CLEAR_LINE = "\033[2K"


class View(Protocol):
    def event(self, event: str, **facts: Any) -> None:
        """Something has happened, once."""

    def watch(self, status: Callable[[], Status]) -> None:
        """Called several times a second; `status` tells how it stands."""


class JournalView:
    """Each event as a line of JSON on stderr, which the journal keeps."""

    def event(self, event: str, **facts: Any) -> None:
        print(json.dumps({"t": time.time(), "event": event, **facts}), file=sys.stderr, flush=True)

    def watch(self, status: Callable[[], Status]) -> None:
        """Whoever wants to know asks for the status."""


class LineView:
    """A line for each second, and what went wrong with the workers."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: int | None = None

    def event(self, event: str, **facts: Any) -> None:
        if event in ("worker_died", "stopping"):
            said = ", ".join(f"{name} {value}" for name, value in facts.items())
            self._print(f"{event.replace('_', ' ')}: {said}")

    def watch(self, status: Callable[[], Status]) -> None:
        now = status()
        if now.last_second is not None and now.last_second.t != self._shown:
            self._shown = now.last_second.t
            self._show(now)

    def _show(self, status: Status) -> None:
        self._print("  ".join(_parts(status)))

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class TerminalView(LineView):
    """The same on lines that stay where they are, below a bar."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._began_at = time.time()
        self._height = 0

    def _show(self, status: Status) -> None:
        lines = [_bar(status, self._began_at), *(f"  {part}" for part in _parts(status)[1:])]
        up = f"\033[{self._height}A" if self._height else ""
        self._print(up + "\n".join(_CLEAR_LINE + line for line in lines))
        self._height = len(lines)

    def event(self, event: str, **facts: Any) -> None:
        super().event(event, **facts)
        self._height = 0


def view_of(stream: TextIO) -> View:
    """What suits the stream."""
    return TerminalView(stream) if stream.isatty() else LineView(stream)


def _parts(status: Status) -> list[str]:
    second = status.last_second
    assert second is not None
    left = max(0, round(status.ends_at - time.time()))
    parts = [
        f"{status.state:<6} {left:>4} s left" + (f"  {status.stage}" if status.stage else ""),
        f"{status.connected:,} of {status.target:,} connections",
        f"{second.sent:,} sent, {second.answered:,} answered in the second",
    ]
    histogram = HdrHistogram.decode(second.response_hdr)
    if histogram.get_total_count():
        values = (f"p{percent} {histogram.get_value_at_percentile(percent) / 1000:.1f}" for percent in (50, 95, 99))
        parts.append(f"{'  '.join(values)} ms")
    trouble = {
        "errors": status.errors,
        "time-outs": status.timeouts,
        "connects failed": status.connect_errors,
        "closed": status.closed,
    }
    if said := ", ".join(f"{count:,} {name}" for name, count in trouble.items() if count):
        parts.append(said)
    parts.extend(describe(words, count) for words, count in status.said.items())
    return parts


def _bar(status: Status, began_at: float) -> str:
    left = max(0.0, status.ends_at - time.time())
    share = 1 - min(1.0, left / max(1.0, status.ends_at - began_at))
    done = round(share * _BAR)
    stage = f"  {status.stage}" if status.stage else ""
    return f"{status.state:<6} [{'=' * done}{' ' * (_BAR - done)}] {left:4.0f} s left{stage}"

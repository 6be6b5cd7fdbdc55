"""Servers that are child processes, one for each connection over stdio. None of them outlives the worker."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Sequence

#: From linux/prctl.h.
_PR_SET_PDEATHSIG = 1

#: How long a child may take to end by itself when its stdin is closed, and then after SIGTERM.
_PATIENCE_S = 2.0
_LOOK_S = 0.02

#: The end of what it wrote on stderr.
_WORDS_BYTES = 2000


class Child:
    """A server process. `output` is the other end of its stdout, a socket as children of Node.js have, and `input`
    that of its stdin. One socket for both would be read by those servers that watch their output for its end."""

    __slots__ = ("_errors", "_loop", "_process", "_words", "input", "output")

    def __init__(self, loop: asyncio.AbstractEventLoop, command: Sequence[str]) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        self._loop = loop
        self._words = b""
        self.output, its = socket.socketpair()
        self._errors, its_errors = os.pipe()
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=its.fileno(),
                stderr=its_errors,
                process_group=0,
                preexec_fn=_die_with_parent,
            )
        except OSError:
            self.output.close()
            os.close(self._errors)
            raise
        finally:
            its.close()
            os.close(its_errors)
        assert self._process.stdin is not None
        self.input = self._process.stdin
        self.output.setblocking(False)
        os.set_blocking(self._errors, False)
        loop.add_reader(self._errors, self._listen)

    @property
    def cause(self) -> str | None:
        """How it ended, `exit_1` or `signal_SIGKILL`; None while it lives."""
        code = self._process.poll()
        if code is None:
            return None
        return f"exit_{code}" if code >= 0 else f"signal_{signal.Signals(-code).name}"

    @property
    def last_words(self) -> str:
        """The last line that it wrote on stderr."""
        if self._errors >= 0:
            self._listen()
        lines = self._words.decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def signal(self, number: signal.Signals) -> None:
        """To it, and to what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def forget(self) -> None:
        """Listen to it no more."""
        if self._errors >= 0:
            self._loop.remove_reader(self._errors)
            os.close(self._errors)
            self._errors = -1

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._errors, 1 << 16):
                self._words = (self._words + data)[-_WORDS_BYTES:]
            self.forget()


class Children:
    """All of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._living: set[Child] = set()

    def start(self, command: Sequence[str]) -> Child:
        """Raises `OSError` when it cannot be started."""
        child = Child(self._loop, command)
        self._living.add(child)
        return child

    def release(self, child: Child) -> None:
        """Its connection has ended, which it should take for its own end."""
        self._loop.call_later(_PATIENCE_S, self._urge, child, signal.SIGTERM)
        self._loop.call_later(2 * _PATIENCE_S, self._urge, child, signal.SIGKILL)

    async def end(self) -> None:
        """Wait for those whose connections have ended, as all should have, and end those that stay."""
        for number in (signal.SIGTERM, signal.SIGKILL, None):
            give_up_at = self._loop.time() + _PATIENCE_S
            while self._living and self._loop.time() < give_up_at:
                for child in [each for each in self._living if each.cause is not None]:
                    self._bury(child)
                await asyncio.sleep(_LOOK_S)
            for child in self._living:
                if number is not None:
                    child.signal(number)

    def _urge(self, child: Child, number: signal.Signals) -> None:
        if child in self._living:
            if child.cause is not None:
                self._bury(child)
            else:
                child.signal(number)

    def _bury(self, child: Child) -> None:
        """It has ended. What it has started goes too."""
        self._living.discard(child)
        child.signal(signal.SIGKILL)
        child.forget()


def _die_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone, however it went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

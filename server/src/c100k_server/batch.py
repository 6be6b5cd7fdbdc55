"""A batch of 2025-03-26: several messages in one array, whose answers are one array too."""

from __future__ import annotations

from c100k_server.authentication import Principal
from c100k_server.outlet import Outlet, StandingOutlet
from c100k_server.task_store import Owner


class Batch:
    """The outlet of the messages of a batch. It sends on what is no answer, and keeps the answers until all are there.

    Those that are there at once are added; those that are expected come as to any outlet.
    """

    __slots__ = ("_answers", "_expected", "_outlet")

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._answers: list[bytes] = []
        self._expected = 0

    @property
    def principal(self) -> Principal | None:
        return self._outlet.principal

    @property
    def standing(self) -> StandingOutlet:
        return self._outlet.standing

    @property
    def client(self) -> Owner:
        return self._outlet.client

    def leave(self) -> None:
        self._outlet.leave()

    @property
    def waits(self) -> bool:
        """Whether answers are to come."""
        return self._expected > 0

    def expect(self) -> None:
        """One more answer will come."""
        self._expected += 1

    def add(self, line: bytes) -> None:
        """An answer that is there at once."""
        self._answers.append(line.rstrip(b"\n"))

    def array(self) -> bytes | None:
        """The answers; None when there are none."""
        return b"[" + b",".join(self._answers) + b"]\n" if self._answers else None

    def send(self, line: bytes) -> bool:
        return self._outlet.send(line)

    def answer(self, line: bytes, error_code: int) -> None:
        self.add(line)
        self.forgo()

    def forgo(self) -> None:
        """An answer that was expected has come, or never will."""
        self._expected -= 1
        array = self.array()
        if not self.waits and array is not None:
            self._outlet.answer(array, 0)

    def close_stream(self) -> None:
        self._outlet.close_stream()

"""What one worker counts: totals, and how often what went wrong under which cause."""

from __future__ import annotations

from collections import Counter

from c100k_loadgen.assignment import Totals
from c100k_loadgen.causes import Kind
from c100k_loadgen.phases import Phase
from c100k_loadgen.words import Words

#: (phase, kind, target, cause)
CauseKey = tuple[Phase, Kind, str, str]


class Tally:
    """Totals since the start, the causes since the last `take_causes`, and what servers said of them."""

    __slots__ = ("causes", "phase", "totals", "words")

    def __init__(self) -> None:
        self.totals = Totals()
        self.causes: Counter[CauseKey] = Counter()
        self.words = Words()
        self.phase: Phase = "wait"

    @property
    def opening_phase(self) -> Phase:
        """The phase that an attempt begins in now; the first may be a moment ahead of the ramp's first second."""
        return "ramp" if self.phase == "wait" else self.phase

    def opened(self) -> None:
        self.totals.opened += 1
        self.totals.connected += 1

    def connect_error(self, phase: Phase, target: str, cause: str) -> None:
        """`phase` is that in which the attempt began."""
        self.totals.connect_errors += 1
        self.causes[phase, "connect_error", target, cause] += 1

    def closed(self, target: str, cause: str) -> None:
        self.totals.closed += 1
        self.totals.connected -= 1
        self.causes[self.phase, "close", target, cause] += 1

    def session_ended(self, target: str, outcome: str) -> None:
        """A session was given up by its client, or was to be."""
        self.causes[self.phase, "session_end", target, outcome] += 1

    def message_error(self, phase: Phase, target: str, cause: str) -> None:
        """`phase` is that of the intended send: a time-out in the stop phase may well count against the hold."""
        if cause == "timeout":
            self.totals.timeouts += 1
        else:
            self.totals.errors += 1
        self.causes[phase, "message_error", target, cause] += 1

    def take_causes(self) -> Counter[CauseKey]:
        taken, self.causes = self.causes, Counter()
        return taken

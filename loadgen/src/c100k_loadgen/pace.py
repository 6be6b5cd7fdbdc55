"""A pace that is kept on the average: what was not used may be made up for, as far as the burst goes."""

from __future__ import annotations


class Pace:
    """At most `per_s` a second, and at most `burst` of them at once. Times are of any clock that goes on."""

    __slots__ = ("_allowance", "_burst", "_counted_at", "_per_s")

    def __init__(self, per_s: float, burst: float, now: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._allowance = 0.0
        self._counted_at = now

    @property
    def next_at(self) -> float:
        """When the next one is allowed."""
        return self._counted_at + (1 - self._allowance) / self._per_s

    def allows(self, now: float) -> bool:
        """Whether there may be one by now."""
        if now > self._counted_at:
            self._allowance = min(self._burst, self._allowance + (now - self._counted_at) * self._per_s)
            self._counted_at = now
        return self._allowance >= 1

    def take(self, now: float) -> bool:
        """Take one, if there may be one by now."""
        if not self.allows(now):
            return False
        self._allowance -= 1
        return True

"""The phases of a run by the clock: wait, ramp, settle, hold, stop. Whatever is to be verified comes after the last."""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["wait", "ramp", "settle", "hold", "stop", "verify"]


class Timetable(msgspec.Struct, frozen=True):
    """When each phase begins; Unix seconds, all of them whole, so that every row of a second lies in one phase."""

    ramp_at: int
    settle_at: int
    hold_at: int
    stop_at: int

    @classmethod
    def of(cls, start_at: int, ramp_s: int, settle_s: int, hold_s: int) -> Timetable:
        settle_at = start_at + ramp_s
        hold_at = settle_at + settle_s
        return cls(start_at, settle_at, hold_at, hold_at + hold_s)

    def phase_at(self, t: float) -> Phase:
        if t < self.ramp_at:
            return "wait"
        if t < self.settle_at:
            return "ramp"
        if t < self.hold_at:
            return "settle"
        if t < self.stop_at:
            return "hold"
        return "stop"

    def phase_ends_at(self, t: float) -> int | None:
        """When the phase of the moment `t` ends; `None` in the stop phase, which ends when its work is done."""
        return next((end for end in (self.ramp_at, self.settle_at, self.hold_at, self.stop_at) if t < end), None)

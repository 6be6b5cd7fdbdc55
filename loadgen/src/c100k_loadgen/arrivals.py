"""When a worker's messages are due: over the settle and the hold phase, or stage by stage, evenly or at random."""

from __future__ import annotations

from c100k_loadgen.assignment import Assignment
from c100k_loadgen.schedule import AnySchedule, PoissonSchedule, Schedule, StagedSchedule


def arrivals(assignment: Assignment, epoch: float) -> AnySchedule:
    """The schedule of one worker's messages, in seconds from `epoch`."""
    plan = assignment.plan
    times = plan.timetable
    if not plan.stages:
        return _evenly_or_not(assignment, times.settle_at - epoch, times.stop_at - epoch, plan.rate_per_s, "")
    spans = [("", times.settle_at, times.hold_at, plan.rate_per_s)]
    for stage, begins_at in zip(plan.stages, plan.stages_begin_at, strict=True):
        spans.append((stage.name, begins_at, begins_at + stage.seconds, stage.rate_per_s))
    return StagedSchedule(
        [
            (start - epoch, _evenly_or_not(assignment, start - epoch, end - epoch, rate_per_s, f"-{name}"))
            for name, start, end, rate_per_s in spans
        ]
    )


def _evenly_or_not(
    assignment: Assignment, start: float, end: float, rate_per_s: float, name: str
) -> Schedule | PoissonSchedule:
    plan, per_s = assignment.plan, rate_per_s / assignment.workers
    if plan.arrivals == "poisson":
        return PoissonSchedule(start, end, per_s, f"{plan.seed}-{plan.host}-{assignment.index}{name}")
    return Schedule(start, end, per_s, offset=assignment.index / assignment.workers)

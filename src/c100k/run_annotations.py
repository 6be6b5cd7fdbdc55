"""What a run puts on a time line: its phases, and the faults that were injected into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from c100k import report
from c100k.recovery import Fault, read_faults
from c100k.run_directory import RunDirectory

#: The tag of all annotations, by which dashboards ask for them.
OWN = "c100k"

PHASE, FAULT = "phase", "fault"


@dataclass(frozen=True)
class Annotation:
    """A stretch of time in Unix milliseconds; without a `dashboard_uid` it is for all dashboards."""

    begins_ms: int
    ends_ms: int
    text: str
    tags: frozenset[str]
    dashboard_uid: str


def run_tags(run_id: str) -> list[str]:
    """The tags that all annotations of a run have."""
    return [OWN, f"run:{run_id}"]


def of_run(run: RunDirectory, dashboard_uid: str = "") -> set[Annotation]:
    """The annotations of a run that was judged.

    Raises:
        RunDirectoryError: it was not.
    """
    own = run_tags(run.run_id)
    phases = {
        Annotation(
            begins_ms=_milliseconds(phase.started_at),
            ends_ms=_milliseconds(phase.ended_at),
            text=f"{phase.name} of {run.run_id}",
            tags=frozenset({*own, PHASE}),
            dashboard_uid=dashboard_uid,
        )
        for phase in report.read(run.path).phases
    }
    faults = {
        Annotation(
            begins_ms=_milliseconds(fault.injected_at),
            ends_ms=_milliseconds(_end(fault)),
            text=_sentence(fault),
            tags=frozenset({*own, FAULT, *(f"host:{host}" for host in fault.hosts)}),
            dashboard_uid=dashboard_uid,
        )
        for fault in read_faults(run.faults)
    }
    return phases | faults


def differences(
    found: Mapping[int, Annotation], wanted: Iterable[Annotation], dashboard_uid: str
) -> tuple[set[Annotation], dict[int, Annotation]]:
    """What is missing of `wanted`, and what of `found` is too much: other phases and faults, and what is there twice.

    What is on another dashboard, or somebody has noted by hand, is left alone.
    """
    missing, superfluous = set(wanted), {}
    for number, annotation in found.items():
        if annotation in missing:
            missing.remove(annotation)
        elif annotation.dashboard_uid == dashboard_uid and annotation.tags & {PHASE, FAULT}:
            superfluous[number] = annotation
    return missing, superfluous


def _end(fault: Fault) -> float:
    """When its host was whole again, as far as that is known."""
    return next(at for at in (fault.healthy_at, fault.healed_at, fault.injected_at) if at is not None)


def _sentence(fault: Fault) -> str:
    what = f"{(fault.kind or fault.name).replace('_', ' ')} of {fault.host}"
    if fault.healthy_at is not None:
        return f"{what}, whole again after {fault.healthy_at - fault.injected_at:.1f} s"
    return f"{what}, not yet whole again"


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

"""What each stage of the hold came to: the messages that were intended in it, whenever they were answered."""

from __future__ import annotations

from collections import Counter

import msgspec

from c100k_loadgen.causes import UNSENT
from c100k_loadgen.distribution import Distribution
from c100k_loadgen.plan import Plan
from c100k_loadgen.raw_files import RawFiles


class StageResults(msgspec.Struct, frozen=True):
    """A stage, with what it asked for: `asked_per_s` over `seconds`."""

    name: str
    seconds: int
    asked_per_s: float
    intended: int
    sent: int
    answered: int
    errors: int
    error_share: float
    rate_per_s: float
    causes: dict[str, int]
    response_ms: Distribution
    service_ms: Distribution
    slip_ms: Distribution


def stage_results(plan: Plan, raw: RawFiles) -> list[StageResults]:
    """The stages of a run, in their order."""
    found: dict[str, Counter[str]] = {stage.name: Counter() for stage in plan.stages}
    for row in raw.rows_of("stages"):
        found[row["stage"]][row["cause"]] += int(row["count"])
    results = []
    for stage in plan.stages:
        response, service, slip = (
            Distribution.of(raw.histogram("hold", f"{tag}.{stage.name}")) for tag in ("response", "service", "slip")
        )
        causes = found[stage.name]
        intended = slip.samples + sum(causes[cause] for cause in UNSENT)
        results.append(
            StageResults(
                name=stage.name,
                seconds=stage.seconds,
                asked_per_s=stage.rate_per_s,
                intended=intended,
                sent=slip.samples,
                answered=service.samples,
                errors=causes.total(),
                error_share=causes.total() / intended if intended else 0.0,
                rate_per_s=service.samples / stage.seconds,
                causes=dict(causes.most_common()),
                response_ms=response,
                service_ms=service,
                slip_ms=slip,
            )
        )
    return results

"""The stages of a hold, each judged by itself: what rules of the run say of response times, errors and lateness."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from c100k import rules
from c100k.confidence import share_interval
from c100k.cost import generator_cost, server_cost
from c100k.distribution import Distribution
from c100k.ledger import Total
from c100k.raw_csv import complete_rows
from c100k.record import Messages, Stage, Stages
from c100k.rules import RuleSpec
from c100k.run_directory import RunDirectory
from c100k.samples import HostSamples

#: The logs of each stage, by the beginning of their tags.
TAGS = ("response", "service", "slip")

#: Stages at one rate that confirm it.
CONFIRMING = 2

#: Causes of messages that were intended and not sent, which have no lateness.
_UNSENT = ("not_connected", "queue_full", "no_free_connection")

#: Figures of a run that its stages have, too.
_FIGURES = ("latency_ms.", "messages.error_rate", "loadgen.slip_ms.", "connections.missing_max")

#: An open loop that did not intend all that was asked for was no open loop; at the ends a message may fall elsewhere.
_INTENDED_SHARE = 0.999


def distributions(planned: Sequence[Mapping[str, Any]]) -> dict[str, Distribution]:
    """An empty one for each log of each stage, by its tag."""
    return {f"{tag}.{stage['name']}": Distribution() for stage in planned for tag in TAGS}


def judge(
    run: RunDirectory,
    hosts: Sequence[HostSamples],
    hold_start: int,
    totals: Iterable[Total],
    logs: Mapping[str, Distribution],
    specs: Iterable[RuleSpec],
) -> Stages | None:
    """The stages that the plan of the run asks for, if it has any. `logs` are the `distributions`, filled."""
    plan = run.read_plan()
    planned = plan["settings"].get("c100k_stages")
    if not planned:
        return None
    specs = [
        rule
        for rule in specs
        if rule.metric.startswith(_FIGURES)
        and not isinstance(rule.limit, str)
        and rule.is_about(plan["scenario"], plan["settings"])
    ]
    held = {total.t: total.held for total in totals}
    causes = _causes(run, hosts)
    groups = {host["name"]: host["groups"] for host in plan["hosts"]}
    servers, loadgens = ([host for host in hosts if group in groups[host.name]] for group in ("servers", "loadgens"))
    each = []
    for stage in planned:
        seconds = range(hold_start, hold_start + int(stage["seconds"]))
        hold_start = seconds.stop
        response, service, slip = (logs[f"{tag}.{stage['name']}"].percentiles() for tag in TAGS)
        messages = _messages(service.samples, slip.samples, causes[stage["name"]], len(seconds))
        found = Stage(
            name=stage["name"],
            rate_per_s=stage["rate_per_s"],
            started_at=float(seconds.start),
            seconds=len(seconds),
            judged=stage["judged"],
            held_min=min((held[t] for t in seconds if t in held), default=None),
            messages=messages,
            latency_ms=response,
            slip_ms=slip,
            server_cpu_us_per_message=server_cost(servers, seconds, messages.answered).total.cpu_us_per_message,
            loadgen_cpu_us_per_message=generator_cost(loadgens, seconds, slip).total.cpu_us_per_message,
            rules=[],
        )
        if found.judged:
            figures = _figures(found, int(plan["settings"]["c100k_connections"]))
            found = replace(found, rules=rules.evaluate([*specs, _in_full(found)], figures, found.samples_behind))
        each.append(found)
    judged = [stage for stage in each if stage.judged]
    return Stages(len(judged), sum(stage.passed for stage in judged), _confirmed_per_s(judged), each)


def _in_full(stage: Stage) -> RuleSpec:
    least = _INTENDED_SHARE * stage.rate_per_s * stage.seconds
    return RuleSpec(name="messages that were asked for", metric="messages.intended", op=">=", limit=least)


def _figures(stage: Stage, target: int) -> dict[str, Any]:
    """What rules can name, as in a run."""
    return {
        "latency_ms": stage.latency_ms,
        "messages": stage.messages,
        "loadgen": {"slip_ms": stage.slip_ms},
        "connections": {"missing_max": None if stage.held_min is None else max(0, target - stage.held_min)},
    }


def _causes(run: RunDirectory, hosts: Iterable[HostSamples]) -> defaultdict[str, Counter[str]]:
    """What went wrong of the messages of each stage."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for host in hosts:
        for path in run.host(host.name).glob("*-stages.csv"):
            for row in complete_rows(path):
                found[row["stage"]][row["cause"]] += int(row["count"])
    return found


def _messages(answered: int, sent: int, causes: Counter[str], seconds: int) -> Messages:
    """Each message that was sent has a lateness; each that was answered a service time, and each other a cause."""
    intended = sent + sum(causes[cause] for cause in _UNSENT)
    missing = max(0, intended - answered)
    errors = causes.total() - causes["timeout"]
    return Messages(
        intended=intended,
        sent=sent,
        answered=answered,
        errors=errors,
        timeouts=causes["timeout"],
        unanswered=max(0, missing - causes.total()),
        error_rate=missing / intended if intended else None,
        rate_per_s=answered / seconds,
        error_causes=dict(causes),
        error_rate_interval=share_interval(missing, intended),
    )


def _confirmed_per_s(judged: Iterable[Stage]) -> float:
    by_rate: defaultdict[float, list[bool]] = defaultdict(list)
    for stage in judged:
        by_rate[stage.rate_per_s].append(stage.passed)
    return max((rate for rate, passed in by_rate.items() if len(passed) >= CONFIRMING and all(passed)), default=0.0)

"""From raw files to a verdict. Everything in `run.json` is computed here, from nothing but the run directory."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from c100k import (
    __version__,
    calls,
    cluster,
    fan_out,
    heartbeats,
    ledger,
    operations,
    outages,
    planned_closes,
    recovery,
    registry,
    rules,
    run_warnings,
    stages,
    state_loss,
    watching,
)
from c100k.attribution import explain_closes, explain_deaths
from c100k.confidence import share_interval
from c100k.cost import generator_cost, kernel_growth, server_cost
from c100k.distribution import Distribution, write_curves
from c100k.histograms import empty, merge_by_second
from c100k.outages import Outage
from c100k.record import Connections, Host, Messages, Percentiles, Phase, Run, State, Verdict
from c100k.rules import RuleSpec
from c100k.run_directory import RunDirectory, RunDirectoryError
from c100k.samples import ON_PURPOSE, STATE_UNAVAILABLE, Cause, HostSamples, read_host
from c100k.timeline import TimelineWriter

#: The mission's figure: a run below it says so in its verdict.
HEADLINE_CONNECTIONS = 100_000

#: What is held, by transport and kind of connection, in the words of the verdict.
CONNECTION_KINDS = {
    ("tcp", "session"): "TCP connection with one MCP session",
    ("http", "session"): "HTTP connection with one MCP session",
    ("http", "session_stream"): "half HTTP connections with one MCP session, half their GET streams",
    ("http", "stateless"): "HTTP connection of stateless requests",
    ("http", "listen"): "HTTP connection with a subscriptions/listen stream",
}

_TAGS = ("response", "service", "slip", "fan_out", "recovery")

#: Logs that are told of in sections of their own, and have no curve.
_SHAPE_TAGS = (planned_closes.CHURN, planned_closes.STORM, heartbeats.PING)


@dataclass(frozen=True)
class Clock:
    """The run's phases by the clock, in Unix seconds; `ended_at` is when the last generator ended."""

    start: float
    ramp_end: float
    hold_start: float
    hold_end: float
    ended_at: float | None

    @property
    def hold(self) -> range:
        """The whole seconds that lie within the hold, as far as it went."""
        end = self.hold_end if self.ended_at is None else min(self.hold_end, self.ended_at)
        return range(math.ceil(self.hold_start), max(math.ceil(self.hold_start), math.floor(end)))

    @property
    def planned_hold_s(self) -> int:
        return math.floor(self.hold_end) - math.ceil(self.hold_start)


def judge(run: RunDirectory) -> Run:
    """Compute the whole of `run.json`, and write `ledger.csv`, `timeline.csv` and `percentiles.csv` beside it.

    Raises:
        RunDirectoryError: when `run` is no run directory.
        RuleError: when a rule in its plan is malformed.
    """
    plan = run.read_plan()
    names = [host["name"] for host in plan["hosts"]]
    servers = frozenset(host["name"] for host in plan["hosts"] if "servers" in host["groups"])
    loadgens = frozenset(host["name"] for host in plan["hosts"] if "loadgens" in host["groups"])
    hosts = [read_host(run, name) for name in names]
    clock = _clock(hosts)
    seconds = clock.hold if clock else range(0)
    start, end = (clock.start, clock.hold_end) if clock else (math.inf, math.inf)
    down = outages.read(run, hosts)
    recovering = outages.recovering(down)
    recovery_s = len(recovering.intersection(seconds))
    entries = ledger.entries(hosts, servers, loadgens, start, down)
    ledger.write(run.ledger, entries)
    publishers = fan_out.publishers(hosts)
    on_their_way = planned_closes.on_their_way(run, hosts)
    totals = ledger.totals(entries, lambda t: publishers + outages.probes(hosts, down, t), down, on_their_way)
    hold = [total for total in totals if total.t in seconds and total.t not in recovering]
    target = int(plan["settings"]["c100k_connections"])
    staged = stages.distributions(plan["settings"].get("c100k_stages", []))
    sent_of = calls.sent(run, hosts)
    others = {tag: Distribution() for tag in _SHAPE_TAGS} | calls.distributions(sent_of)
    losses = state_loss.spans(run)
    without = frozenset(t for loss in losses for t in loss.without)
    latencies = _latencies(run, hosts, recovering, without, {**staged, **others})
    messages = _messages(hosts, len(seconds), latencies, down)
    figures: dict[str, Any] = {
        "connections": _connections(
            hosts, clock, [total for total in totals if total.t not in recovering], hold, target, down, recovery_s
        ),
        "messages": messages,
        "latency_ms": latencies.response,
        "service_ms": latencies.service,
        "away_ms": latencies.away if latencies.away.samples else None,
        "stateless_ms": latencies.stateless if losses else None,
        "server": server_cost([host for host in hosts if host.name in servers], seconds, messages.answered),
        "loadgen": generator_cost([host for host in hosts if host.name in loadgens], seconds, latencies.slip),
        "ledger": ledger.judge(hold, clock.planned_hold_s - recovery_s if clock else 0, target),
        "kernel": kernel_growth(hosts, start, end),
        "fan_out": fan_out.judge(hosts, latencies.fan_out),
        "churn": planned_closes.churn(run, hosts, others),
        "storm": planned_closes.storm(run, hosts, others),
        "heartbeats": heartbeats.judge(run, hosts, others),
        "calls": calls.judge(sent_of, others),
        "cluster": cluster.judge(run, hosts, len(plan["settings"].get("c100k_faults", [])), _within(down, seconds)),
        "recovery": recovery.recoveries(run),
        "state_loss": state_loss.judge(run, hosts, servers, seconds),
        "writes": operations.check(run),
        "registry": registry.judge(run, hosts, seconds, latencies.names),
        "stages": stages.judge(
            run, hosts, seconds.start, totals, staged, [*_specs(plan, "sla"), *_specs(plan, "validity")]
        ),
        "monitoring": watching.judge(
            run, seconds, plan["substrate"], {host.name: host.facts.get("cores") for host in hosts}
        ),
    }
    behind = rules.samples_behind(figures)
    not_judged: list[str] = []
    sla, validity = (
        rules.evaluate(_concerning(plan, name, not_judged), figures, behind) for name in ("sla", "validity")
    )
    invalid = [
        *_failures(run),
        *_unfinished(run, hosts, loadgens),
        *_uncounted(hosts, servers, totals),
        *(rules.explain(rule) for rule in validity if not rule.passed),
    ]
    failed = [rules.explain(rule) for rule in sla if not rule.passed]
    verdict = Verdict.INVALID if invalid else Verdict.FAIL if failed else Verdict.PASS
    return Run(
        run_id=run.run_id,
        scenario=plan["scenario"],
        started_at=plan["created_at"],
        ended_at=clock.ended_at if clock else None,
        substrate=plan["substrate"],
        protocol=plan["protocol"],
        transport=plan["transport"],
        connection_kind=CONNECTION_KINDS[plan["transport"], plan.get("connection", "session")],
        hosts=[
            Host(host["name"], host["address"], host["groups"], sample.facts)
            for host, sample in zip(plan["hosts"], hosts, strict=True)
        ],
        versions=_versions(hosts),
        state=_state(run),
        phases=_phases(clock),
        rules=sla,
        validity=validity,
        not_judged=not_judged,
        verdict=verdict,
        reasons=[*invalid, *failed, *explain_deaths(hosts), *explain_closes(hosts, down), *_wrong(figures)]
        if verdict is not Verdict.PASS
        else [],
        warnings=run_warnings.read(run),
        **figures,
    )


def _within(down: Sequence[Outage], hold: range) -> int:
    """The deaths after which the hold went on for as long as a recovery may take."""
    return sum(
        bool(hold and outage.recovery) and hold.start <= outage.injected_at and outage.recovery.stop <= hold.stop
        for outage in down
    )


def _concerning(plan: dict[str, Any], name: str, not_judged: list[str]) -> list[RuleSpec]:
    """The rules for this run; what it gives nothing to judge by is added to `not_judged`, with the reason."""
    scenario, settings = plan["scenario"], plan["settings"]
    meant = [rule for rule in _specs(plan, name) if rule.is_about(scenario, settings)]
    not_judged += [
        f"{rule.name}: {rule.when} is {settings.get(rule.when)}"
        for rule in meant
        if not rule.concerns(scenario, settings)
    ]
    return [rule for rule in meant if rule.concerns(scenario, settings)]


def _specs(plan: dict[str, Any], name: str) -> list[RuleSpec]:
    return rules.parse(plan[name], f"c100k_{name}", plan["settings"])


def _clock(hosts: Iterable[HostSamples]) -> Clock | None:
    """From the plan that the generators resolved; all were given the same instant."""
    records = [host.generator for host in hosts if host.generator]
    if not records:
        return None
    plan = records[0]["plan"]
    start = float(plan["start_at"])
    ramp_end = start + plan["ramp_s"]
    hold_start = ramp_end + plan["settle_s"]
    ended = [record["ended_at"] for record in records]
    return Clock(start, ramp_end, hold_start, hold_start + plan["hold_s"], None if None in ended else max(ended))


def _phases(clock: Clock | None) -> list[Phase]:
    if clock is None:
        return []
    end = clock.ended_at if clock.ended_at is not None else clock.hold_end
    bounds = [
        ("ramp", clock.start, clock.ramp_end),
        ("settle", clock.ramp_end, clock.hold_start),
        ("hold", clock.hold_start, clock.hold_end),
        ("stop", clock.hold_end, end),
    ]
    return [Phase(name, start, min(stop, end)) for name, start, stop in bounds if start < end]


def _connections(
    hosts: Sequence[HostSamples],
    clock: Clock | None,
    totals: Sequence[ledger.Total],
    hold: Sequence[ledger.Total],
    target: int,
    down: Sequence[Outage],
    recovery_s: int,
) -> Connections:
    errors, closes = _count_causes(hosts, "connect_error"), _count_causes(hosts, "close")
    unmeant = [each for each in _all_causes(hosts) if each.kind == "close" and each.cause not in ON_PURPOSE]
    explained = sum(each.count for each in unmeant if any(outage.explains(each.target, each.t) for outage in down))
    reached = next((total.t for total in totals if total.client - total.beside >= target), None)
    ramp_s = max(1, reached + 1 - math.floor(clock.start)) if clock and reached is not None else None
    held_min = min((total.held for total in hold), default=None)
    return Connections(
        target=target,
        peak=max((total.held for total in totals), default=None),
        held_min=held_min,
        missing_max=None if held_min is None else max(0, target - held_min),
        hold_s=len(hold),
        connect_errors=errors.total(),
        connect_error_causes=dict(errors),
        unexplained_closes=sum(each.count for each in unmeant) - explained,
        explained_closes=explained,
        recovery_s=recovery_s,
        close_causes=dict(closes),
        ramp_s=ramp_s,
        ramp_rate_per_s=target / ramp_s if ramp_s else None,
    )


def _count_causes(hosts: Iterable[HostSamples], kind: str, phase: str | None = None) -> Counter[str]:
    counts: Counter[str] = Counter()
    for event in _all_causes(hosts):
        if event.kind == kind and phase in (None, event.phase):
            counts[event.cause] += event.count
    return counts


def _all_causes(hosts: Iterable[HostSamples]) -> Iterable[Cause]:
    for host in hosts:
        yield from host.causes


def _messages(hosts: Sequence[HostSamples], seconds: int, latencies: Latencies, down: Sequence[Outage]) -> Messages:
    """The messages intended in the hold: a slip for each that was sent, a response for each answered or given up."""
    intended = sum(row.counts["intended"] for host in hosts for row in host.client.values() if row.phase == "hold")
    causes = _count_causes(hosts, "message_error", "hold")
    timeouts = causes["timeout"]
    refused = sum(
        each.count
        for each in _all_causes(hosts)
        if (each.kind, each.phase, each.cause) == ("message_error", "hold", STATE_UNAVAILABLE)
        and any(outage.excuses_refusals(each.t) for outage in down)
    )
    errors, answered = causes.total() - timeouts - refused, latencies.responses - timeouts
    asked = intended - refused
    # A generator that was interrupted has answers of a second that it did not come to write a row for.
    missing = max(0, asked - answered)
    return Messages(
        intended=intended,
        sent=latencies.sent,
        answered=answered,
        errors=errors,
        timeouts=timeouts,
        unanswered=max(0, asked - answered - errors - timeouts),
        error_rate=missing / asked if asked else None,
        rate_per_s=answered / seconds if seconds else None,
        error_causes=dict(causes),
        error_rate_interval=share_interval(missing, asked),
        refused=refused,
    )


@dataclass(frozen=True)
class Latencies:
    """Percentiles over the hold, less recoveries; `responses` and `sent` are the samples in all of it.

    `away` is of all messages that waited for their session to come back, `stateless` of those answered while the state
    was down, `names` what the registry was asked for, by its tags.
    """

    response: Percentiles
    service: Percentiles
    slip: Percentiles
    fan_out: Percentiles
    away: Percentiles
    stateless: Percentiles
    responses: int
    sent: int
    names: Mapping[str, Distribution]


def _latencies(
    run: RunDirectory,
    hosts: Sequence[HostSamples],
    recovering: frozenset[int],
    without: frozenset[int],
    others: Mapping[str, Distribution],
) -> Latencies:
    """Response, service, slip and fan-out; the time line by the second falls out on the way.

    What is logged under the tags of `others` in the hold is added to these.
    """
    whole = {tag: Distribution() for tag in (*_TAGS, *registry.TAGS)}
    stateless = Distribution()
    samples: Counter[str] = Counter()
    with TimelineWriter(run.timeline, hosts) as timeline:
        for t, merged in merge_by_second(sorted(run.histograms.glob("*.hlog"))):
            response, finds = empty(), empty()
            for (phase, tag), histogram in merged.items():
                if tag == "response":
                    response.add(histogram)
                    if t in without and phase == "hold":
                        stateless.add(histogram)
                # Beside those of all of the hold.
                if tag in others and phase == "hold":
                    others[tag].add(histogram)
                if tag in whole and (phase == "hold" or tag == registry.REGISTER):
                    samples[tag] += int(histogram.get_total_count())
                    if t not in recovering or tag == "recovery":
                        whole[tag].add(histogram)
                        if tag in registry.FINDS:
                            finds.add(histogram)
            whole[registry.FIND].add(finds)
            timeline.add(t, response)
    write_curves(run.percentiles, whole)
    response_ms, service_ms, slip_ms, fan_out_ms, away_ms = (whole[tag].percentiles() for tag in _TAGS)
    return Latencies(
        response=response_ms,
        service=service_ms,
        slip=slip_ms,
        fan_out=fan_out_ms,
        away=away_ms,
        stateless=stateless.percentiles(),
        responses=samples["response"],
        sent=samples["slip"],
        names=whole,
    )


def _failures(run: RunDirectory) -> list[str]:
    """Tasks of the playbook that failed on the way, as it noted them in `failure-<host>.json`."""
    found = []
    for path in sorted(run.path.glob("failure-*.json")):
        failure = json.loads(path.read_text())
        found.append(f"{failure['host']}: the task {failure['task']!r} failed: {failure['message']}")
    return found


def _unfinished(run: RunDirectory, hosts: Iterable[HostSamples], loadgens: frozenset[str]) -> list[str]:
    """Why the instrument did not do its whole job, one sentence a host."""
    found = []
    for host in hosts:
        if host.name not in loadgens:
            continue
        if host.generator is None:
            said = _last_words(run.host(host.name) / "loadgen.log")
            found.append(f"{host.name}: the generator left no results" + (f"; it said: {said}" if said else ""))
            continue
        reason = host.generator["stop_reason"]
        if reason != "completed":
            found.append(f"{host.name}: the generator did not complete ({reason or 'it was lost while it ran'})")
    return found


def _last_words(journal: Path) -> str:
    """What a generator wrote to its journal for people, which is neither an event nor of systemd."""
    lines = journal.read_text(errors="replace").splitlines() if journal.exists() else []
    return " ".join(line for line in lines if not line.startswith("{") and ".service" not in line)


def _uncounted(hosts: Iterable[HostSamples], servers: frozenset[str], totals: Sequence[ledger.Total]) -> list[str]:
    """Why no connection was counted by client, server and kernel alike, if none was."""
    if totals:
        return []
    silent = [host.name for host in hosts if host.name in servers and not host.server]
    return [f"{name}: the server gave no counts" for name in silent] or [
        "connections: in no second were all of client, server and kernel counted"
    ]


def _wrong(figures: dict[str, Any]) -> list[str]:
    """What the cluster and the writes have to say beyond their figures."""
    formed, writes = figures["cluster"], figures["writes"]
    return [
        *(f"route {problem}" for problem in (formed.problems if formed else [])),
        *(
            f"{each.host}: session {each.session} has {each.increments} increments {each.kind}: "
            f"{each.acknowledged:,} acknowledged, the counter says {each.counter}"
            for each in (writes.violations if writes else [])
        ),
    ]


def _state(run: RunDirectory) -> State | None:
    """What the role `state` recorded; nothing for a run without a state cluster."""
    if not run.state.exists():
        return None
    try:
        recorded = json.loads(run.state.read_text())
        judged = {"complete": recorded["complete"], "problems": recorded["problems"]}
        return msgspec.convert({**recorded["cluster"], **judged}, State)
    except (ValueError, KeyError, TypeError) as error:
        raise RunDirectoryError(f"{run.state} does not hold the record of a state cluster: {error}.") from None


def _versions(hosts: Iterable[HostSamples]) -> dict[str, str]:
    """What ran; where hosts differ, every version that was found."""
    found: dict[str, set[str]] = {"c100k": {__version__}}
    for host in hosts:
        own = host.generator["versions"] if host.generator else {}
        for name, version in {**host.facts.get("versions", {}), **own}.items():
            found.setdefault(name, set()).add(str(version))
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}


def is_scaled_down(run: Run) -> bool:
    """Whether the run aimed below the mission's 100,000 connections."""
    return run.connections.target < HEADLINE_CONNECTIONS

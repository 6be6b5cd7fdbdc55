"""The plain-text end of a run: what was asked, what was held, what it cost, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import median

from c100k.record import Percentiles, Rule, Run, Stage, Verdict
from c100k.rules import explain, format_number
from c100k.state_loss import StateLoss
from c100k.verdict import HEADLINE_CONNECTIONS, is_scaled_down


def text(run: Run) -> str:
    """The summary, some 40 lines of at most 120 characters."""
    return "\n".join(
        [
            *_asked(run),
            *_cluster(run),
            *_held(run),
            *_reopened(run),
            *_messages(run),
            *_calls(run),
            *_heartbeats(run),
            *_stages(run),
            *_fan_out(run),
            *_registry(run),
            *_recovery(run),
            *_cost(run),
            *_monitoring(run),
            *_rules(run),
            "",
            verdict_line(run),
            *_reasons(run),
            *(f"  ! {warning}" for warning in run.warnings),
        ]
    )


def verdict_line(run: Run) -> str:
    """The verdict in one line; a run below 100,000 connections says so."""
    connections = run.connections
    held = "unknown" if connections.held_min is None else f"{connections.held_min:,}"
    claim = f"{held} of {connections.target:,} connections held for {connections.hold_s} s"
    if connections.recovery_s:
        claim += f", without {connections.recovery_s} s of recovery"
    if run.stages is not None and run.stages.confirmed_per_s:
        claim += f", {run.stages.confirmed_per_s:,.0f} messages a second confirmed"
    scale = f" (scaled down: says nothing about {HEADLINE_CONNECTIONS:,} connections)" if is_scaled_down(run) else ""
    return f"{run.verdict}: {claim}{scale}"


def _asked(run: Run) -> Iterable[str]:
    names = {group: sum(group in host.groups for host in run.hosts) for group in ("servers", "loadgens")}
    yield f"run          {run.run_id}   scenario {run.scenario} on {run.substrate}"
    yield (
        f"asked        {run.connections.target:,} connections ({run.connection_kind}, {run.protocol} over "
        f"{run.transport}), {names['loadgens']} generator hosts to {names['servers']} servers"
    )


def _cluster(run: Run) -> Iterable[str]:
    cluster = run.cluster
    if cluster is None:
        return
    pairs = cluster.nodes * (cluster.nodes - 1)
    yield (
        f"cluster      {cluster.nodes_ready} of {cluster.nodes} nodes ready, the last after "
        f"{format_number(cluster.formed_s, 1)} s; {pairs - cluster.routes_failed} of {pairs} pairs share sessions, "
        f"messages within {format_number(cluster.message_max_ms, 1)} ms, resumed within "
        f"{format_number(cluster.resume_max_ms, 1)} ms"
    )


def _recovery(run: Run) -> Iterable[str]:
    for each in run.recovery:
        back = each.reconnected_s
        share = "unknown" if each.resumed_within_5s_share is None else f"{each.resumed_within_5s_share:.2%}"
        yield (
            f"recovery     {each.kind} of {each.host}: {each.sessions_resumed:,} of {each.sessions_affected:,} "
            f"sessions resumed, {share} within 5 s;"
        )
        yield (
            f"{'':<13}missed after {format_number(each.detected_s.p50, 1)} s, back after "
            f"p50 {format_number(back.p50, 1)}  p99.9 {format_number(back.p999, 1)}  max {format_number(back.max, 1)} s"
        )
    slowest = sorted(each.reconnected_s.p999 for each in run.recovery if each.reconnected_s.p999 is not None)
    if len(slowest) > 1:
        yield (
            f"{'':<13}p99.9 of {len(slowest)} deaths: from {format_number(slowest[0], 1)} to "
            f"{format_number(slowest[-1], 1)} s, in the middle {format_number(median(slowest), 1)} s"
        )
    for loss in run.state_loss:
        yield from _state_loss(loss)
    if run.stateless_ms is not None:
        yield f"stateless ms {_percentiles(run.stateless_ms)}   of messages answered while the state was down"
    if run.away_ms is not None:
        yield f"away ms      {_percentiles(run.away_ms)}   of messages whose session was away"
    writes = run.writes
    if writes is not None:
        yield (
            f"writes       {writes.acknowledged:,} acknowledged in {writes.sessions:,} sessions; "
            f"{writes.lost:,} lost, {writes.duplicated:,} done twice, {writes.reordered:,} out of order, "
            f"{writes.unread:,} sessions not read back"
        )


def _state_loss(loss: StateLoss) -> Iterable[str]:
    down_s = format_number(None if loss.up_at is None else loss.up_at - loss.began_at, 1)
    yield (
        f"state down   on {len(loss.hosts)} hosts for {down_s} s: {loss.closes:,} connections closed; "
        f"{loss.answered:,} messages answered, {loss.failed:,} failed"
    )
    yield (
        f"{'':<13}increments: {loss.refused:,} attempts refused, {loss.unknown:,} unknown, "
        f"{loss.acknowledged:,} acknowledged; all are again {format_number(loss.back_s, 1)} s after it ran again"
    )
    sizes = (loss.rss_before_bytes, loss.rss_most_bytes, loss.rss_after_bytes)
    before, most, after = ("unknown" if size is None else f"{size / 2**20:,.0f}" for size in sizes)
    yield f"{'':<13}servers had {before} MiB before, {most} at most, {after} at the end of the hold"


def _registry(run: Run) -> Iterable[str]:
    registry = run.registry
    if registry is None:
        return
    yield (
        f"registry     {registry.keys:,} names lead to their session, {format_number(registry.bytes_per_key, 0)} bytes "
        f"each; {registry.wrong:,} wrong, {registry.lost:,} lost, {registry.duplicates:,} had twice, "
        f"{registry.unverified:,} not verified"
    )
    sources = ("own", registry.own), ("cache", registry.cache), ("redis", registry.redis)
    by_source = ", ".join(f"{name} {each.lookups:,} of {format_number(each.mean_us, 1)}" for name, each in sources)
    mean_us = format_number(registry.mean_us, 1)
    yield f"{'':<13}{registry.lookups:,} look-ups at the servers, mean us {mean_us}: {by_source}"
    per_s = format_number(registry.finds_per_s)
    yield f"look-up ms   {_percentiles(registry.find_ms)}   {per_s}/s, from the intended send"
    registered, updated, taken_again = (
        f"p50 {format_number(each.p50, 2)}  p99 {format_number(each.p99, 2)}"
        for each in (registry.register_ms, registry.update_ms, registry.cycle_ms)
    )
    yield f"{'':<13}registered in {registered}; updated in {updated}; given up and taken again in {taken_again}"
    if registry.stale_ms.samples:
        latest = format_number(registry.stale_ms.max, 1)
        yield f"{'':<13}{registry.stale_ms.samples:,} answers were late, up to {latest} ms after a change"


def _held(run: Run) -> Iterable[str]:
    connections, ledger = run.connections, run.ledger
    ramp = (
        "not reached"
        if connections.ramp_s is None
        else f"{connections.ramp_s} s ({connections.ramp_rate_per_s:,.0f}/s)"
    )
    failed = _causes(connections.connect_error_causes)
    yield f"ramp         {ramp}; {connections.connect_errors:,} failed attempts{failed}"
    closed = _causes(connections.close_causes, without="stop")
    yield (
        f"held         peak {format_number(connections.peak)}, never below {format_number(connections.held_min)} in "
        f"{connections.hold_s} s; {connections.unexplained_closes:,} unexplained closes{closed}"
    )
    if connections.recovery_s:
        yield (
            f"{'':<13}{connections.recovery_s} s of recovery are not counted; faults explain "
            f"{connections.explained_closes:,} closes"
        )
    yield (
        f"ledger       client, server and kernel differ by {format_number(ledger.disagreement)} at most, "
        f"all three known for {ledger.coverage:.1%} of the hold"
    )


def _reopened(run: Run) -> Iterable[str]:
    for name, closed, what in (("churn", run.churn, "in their turn"), ("storm", run.storm, "at once")):
        if closed is not None:
            yield (
                f"{name:<13}{closed.closed:,} connections closed {what}, {closed.back:,} back; "
                f"{closed.failed:,} failed attempts ({closed.refused:,} refused)"
            )
            yield f"connect ms   {_percentiles(closed.connect_ms)}   of those that came back"
    if run.storm is not None:
        yield f"{'':<13}all back after {format_number(run.storm.all_back_s, 1)} s"


def _messages(run: Run) -> Iterable[str]:
    messages = run.messages
    if not messages.intended:
        yield "messages     none were intended, so there is no response time to judge"
        return
    rate = "unknown" if messages.error_rate is None else f"{messages.error_rate:.4%}"
    yield (
        f"messages     {messages.intended:,} intended, {messages.sent:,} sent, {messages.answered:,} answered "
        f"({format_number(messages.rate_per_s)}/s); error rate {rate}{_causes(messages.error_causes)}"
    )
    if messages.refused:
        yield f"{'':<13}{messages.refused:,} of them refused while the state was down, which is no error"
    yield f"response ms  {_percentiles(run.latency_ms)}   from the intended send"
    yield f"service ms   {_percentiles(run.service_ms)}   from the actual send"
    yield f"slip ms      {_percentiles(run.loadgen.slip_ms)}   actual after intended send"


def _calls(run: Run) -> Iterable[str]:
    for call in run.calls:
        yield f"{'':<13}{call.name}: {call.sent:,} sent, {call.answered:,} answered   {_percentiles(call.latency_ms)}"


def _heartbeats(run: Run) -> Iterable[str]:
    pings = run.heartbeats
    if pings is None:
        return
    yield f"heartbeats   {pings.sent:,} sent, {pings.answered:,} answered{_causes(pings.error_causes)}"
    yield f"ping ms      {_percentiles(pings.latency_ms)}   in the hold, from the intended send"


def _stages(run: Run) -> Iterable[str]:
    if run.stages is None:
        return
    for stage in run.stages.each:
        if stage.judged:
            broken = "; ".join(explain(rule) for rule in stage.rules if not rule.passed)
            rate = format_number(stage.messages.rate_per_s, 1)
            latency = _percentiles(stage.latency_ms)
            yield f"{_mark(stage):<4}{stage.name:<18}{stage.seconds} s, {rate}/s answered   {latency}"
            if broken:
                yield f"{'':<13}{broken}"
    confirmed = run.stages.confirmed_per_s
    yield (
        f"rates        {run.stages.passed} of {run.stages.judged} stages inside the SLA; "
        + (f"{confirmed:,.0f}/s confirmed" if confirmed else "no rate confirmed by a repetition")
    )


def _fan_out(run: Run) -> Iterable[str]:
    fan_out = run.fan_out
    if fan_out is None:
        return
    failed = _causes(fan_out.publish_errors)
    yield (
        f"fan-out      {fan_out.publishes} of {fan_out.planned} publishes, {fan_out.delivered:,} of "
        f"{fan_out.listeners:,} notifications delivered, {fan_out.duplicated:,} of them twice{failed}"
    )
    yield f"fan-out ms   {_percentiles(fan_out.latency_ms)}   from the intended publish"
    last = ", ".join(format_number(publish.last_ms, 0) for publish in fan_out.each)
    yield f"last has it  after {last} ms; publishers late by {format_number(fan_out.slip_max_ms, 1)} ms at most"


def _cost(run: Run) -> Iterable[str]:
    for name, cost in (("server", run.server.total), ("generator", run.loadgen.total)):
        memory = "unknown" if cost.rss_bytes is None else f"{cost.rss_bytes / 2**20:,.0f} MiB"
        each = "unknown" if cost.rss_per_connection_bytes is None else f"{cost.rss_per_connection_bytes / 1024:.2f} KiB"
        yield (
            f"{name:<12} {memory} resident, {each} a connection above idle; "
            f"{format_number(cost.cpu_us_per_message, 1)} us of CPU a message"
        )


def _monitoring(run: Run) -> Iterable[str]:
    watched = run.monitoring
    if watched is None:
        return
    share = "unknown" if watched.machine_share is None else f"{watched.machine_share:.2%}"
    yield (
        f"watching     {share} of the processors; Prometheus took {format_number(watched.prometheus_cores, 3)} of one, "
        f"node_exporter {format_number(watched.node_exporter_cores, 3)}, answers "
        f"{format_number(watched.answering_cores, 3)}"
    )


def _rules(run: Run) -> Iterable[str]:
    yield ""
    for title, rules in (("SLA", run.rules), ("validity", run.validity)):
        for rule in rules:
            actual, limit = format_number(rule.actual), format_number(rule.limit)
            yield f"{title:<9}{_mark(rule):<5}{rule.name:<36}{actual:>12} {rule.op:<2} {limit}"
    yield from (f"{'':<9}{'--':<5}not judged: {reason}" for reason in run.not_judged)


def _reasons(run: Run) -> Iterable[str]:
    return () if run.verdict is Verdict.PASS else (f"  - {reason}" for reason in run.reasons)


def _mark(judged: Rule | Stage) -> str:
    return "ok" if judged.passed else "NO"


def _percentiles(figures: Percentiles) -> str:
    shown = (
        (name, getattr(figures, field))
        for name, field in (("p50", "p50"), ("p95", "p95"), ("p99", "p99"), ("p99.9", "p999"), ("max", "max"))
    )
    return "  ".join(f"{name} {format_number(value, 2)}" for name, value in shown)


def _causes(causes: Mapping[str, int], without: str | None = None) -> str:
    shown = ", ".join(f"{cause} {count:,}" for cause, count in sorted(causes.items()) if cause != without)
    return f" ({shown})" if shown else ""

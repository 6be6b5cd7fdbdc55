"""The end of a run as plain text, in the terms of k6 and wrk2."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from c100k_loadgen.causes import planned
from c100k_loadgen.distribution import Distribution
from c100k_loadgen.results import Results
from c100k_loadgen.thresholds import Judgement, describe
from c100k_loadgen.words import describe as describe_words

_SHOWN = ("min", "p50", "p75", "p90", "p95", "p99", "p999", "max")


def text(results: Results, judgement: Judgement) -> str:
    """The summary, without a newline at its end."""
    return "\n".join(
        [
            *_asked(results),
            *_measured(results),
            *_disturbed(results),
            "",
            *_by_stage(results),
            *_by_call(results),
            *_spectrum(results),
            *_warned(results),
            *_judged(judgement),
        ]
    )


def label(name: str) -> str:
    """A percentile as people write it: p999 is p99.9."""
    return f"{name[:3]}.{name[3:]}" if name.startswith("p") and len(name) > 3 else name


def milliseconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def causes(counts: Mapping[str, int]) -> str:
    """Counts by cause, in brackets, or nothing."""
    shown = ", ".join(f"{cause} {count:,}" for cause, count in counts.items())
    return f" ({shown})" if shown else ""


def _asked(results: Results) -> Iterator[str]:
    yield f"target         {', '.join(results.targets)}"
    yield (
        f"asked          {results.connections.target:,} connections ({results.connection}, MCP {results.protocol}), "
        f""
        f"calls of {', '.join(call.name for call in results.calls)} for {results.hold_s} s"
    )


def _measured(results: Results) -> Iterator[str]:
    connections, messages, generator = results.connections, results.messages, results.generator
    failed = sum(connections.connect_errors.values())
    early = {cause: count for cause, count in connections.closes.items() if cause != "stop" and not planned(cause)}
    least = f"{connections.held_min:,}"
    if connections.connected_min < connections.held_min:
        least = f"{connections.connected_min:,}, or {least} with those that the plan had closed and was opening again,"
    yield (
        f"connections    peak {connections.peak:,}, never below {least} in the hold; "
        f"{failed:,} failed attempts{causes(connections.connect_errors)}, "
        f"{sum(early.values()):,} closed early{causes(early)}"
    )
    if connections.session_ends:
        asked = sum(connections.session_ends.values())
        yield f"sessions       {asked:,} given up at the end{causes(connections.session_ends)}"
    yield (
        f"messages       {messages.intended:,} intended, {messages.sent:,} sent, {messages.answered:,} answered: "
        f"{messages.rate_per_s:,.1f}/s"
    )
    yield f"errors         {messages.errors:,}, {messages.error_share:.3%}{causes(messages.causes)}"
    for number, (words, count) in enumerate(results.said.items()):
        yield f"{'' if number else 'servers said':<14} {describe_words(words, count)}"
    rows = (
        ("response ms", results.response_ms, "from the intended send"),
        ("service ms", results.service_ms, "from the actual send"),
        ("lateness ms", results.slip_ms, "of the generator itself"),
    )
    for name, distribution, meaning in rows:
        yield f"{name:<14} {_line(distribution)}  ({meaning})"
    cost = "-" if generator.cpu_us_per_message is None else f"{generator.cpu_us_per_message:.0f} us"
    yield (
        f"generator      {generator.workers} workers, {cost} of CPU a message, {generator.rss_bytes / 2**20:,.0f} MiB, "
        f"held up for {generator.loop_lag_max_ms:.0f} ms at most"
    )


def _disturbed(results: Results) -> Iterator[str]:
    """Heartbeats, and what the plan has closed."""
    pings, churn, storm = results.pings, results.churn, results.storm
    if pings is not None:
        yield f"pings          {pings.sent:,} sent, {pings.answered:,} answered{causes(pings.causes)}"
        yield f"{'ping ms':<14} {_line(pings.response_ms)}"
    if churn is not None:
        yield (
            f"churn          {churn.closed:,} closed in their turn, {churn.back:,} open again; "
            f"{churn.failed:,} failed attempts, {churn.refused:,} of them refused"
        )
        yield f"{'connect ms':<14} {_line(churn.connect_ms)}"
    if storm is not None:
        after = "" if storm.all_back_s is None else f", all of them after {storm.all_back_s:.2f} s"
        yield (
            f"storm          {storm.closed:,} closed at once, {storm.back:,} open again{after}; "
            f"{storm.failed:,} failed attempts, {storm.refused:,} of them refused"
        )
        yield f"{'connect ms':<14} {_line(storm.connect_ms)}"


def _by_stage(results: Results) -> Iterator[str]:
    for stage in results.stages:
        yield (
            f"{stage.name}: {stage.seconds} s at {stage.asked_per_s:g}/s, {stage.intended:,} intended, "
            f"{stage.answered:,} answered: {stage.rate_per_s:,.1f}/s; "
            f"errors {stage.errors:,}, {stage.error_share:.3%}{causes(stage.causes)}"
        )
        yield f"{'  response ms':<14} {_line(stage.response_ms)}"
    if results.stages:
        yield ""


def _line(distribution: Distribution) -> str:
    return "  ".join(f"{label(name)} {milliseconds(getattr(distribution, name))}" for name in _SHOWN)


def _spectrum(results: Results) -> Iterator[str]:
    if results.response_ms.samples:
        yield f"response time of {results.response_ms.samples:,} messages, time-outs included"
        for percent, value in results.response_ms.curve[1:]:
            yield f"  {percent:>7.3f}%  {milliseconds(value):>10} ms"
        yield ""


def _by_call(results: Results) -> Iterator[str]:
    for call in results.calls:
        if call.response_ms is not None:
            yield f"{call.name}: {call.answered:,} of {call.sent:,} answered, ms: {_line(call.response_ms)}"
    if len(results.calls) > 1:
        yield ""


def _warned(results: Results) -> Iterator[str]:
    for warning in results.warnings:
        yield f"warning: {warning}"
    if results.warnings:
        yield ""


def _judged(judgement: Judgement) -> Iterator[str]:
    for each in judgement.thresholds:
        yield f"{'ok' if each.passed else 'NO':<3} {each.threshold:<24} {describe(each)}"
    yield ""
    yield judgement.verdict
    yield from (f"  - {reason}" for reason in judgement.reasons)

"""The list of metrics that ends the benchmark of 100,000 connections, at the rate that was confirmed."""

from __future__ import annotations

from collections.abc import Iterable

from c100k import units
from c100k.raw_csv import complete_rows
from c100k.record import Run, Stage
from c100k.rules import format_number
from c100k.run_directory import RunDirectory


def text(run: Run, directory: RunDirectory) -> str:
    """A line a metric. Of stages that repeat a rate, the worst is told."""
    confirmed = run.stages.confirmed_per_s if run.stages else 0
    stages = (
        [stage for stage in run.stages.each if stage.judged and stage.rate_per_s == confirmed] if run.stages else []
    )
    connections = run.connections
    stable = None if connections.held_min is None else connections.held_min / connections.target
    lines = [
        ("Duration", f"{sum(stage.seconds for stage in stages)} s at this rate, {connections.hold_s} s of hold"),
        ("Concurrent Connections", f"{format_number(connections.held_min)} of {connections.target:,}"),
        ("Message Rate", _rate(stages, confirmed)),
        *((f"{name.upper()} Latency", f"{_worst(stages, name)} ms") for name in ("p50", "p95", "p99")),
        ("Memory Usage", f"{units.mib(run.server.total.rss_bytes)} of all servers"),
        ("GC Impact", f"{format_number(run.server.total.gc_pause_max_ms, 1)} ms, the longest collection of a server"),
        ("Error Rate", _errors(stages)),
        ("Connection Stability", f"{units.percent(stable, 3)}; {connections.unexplained_closes:,} unexplained closes"),
        ("Registry Performance", "not measured by this run; make test-100k-registry does"),
        ("Message Throughput", _throughput(complete_rows(directory.rates))),
    ]
    return "\n".join(f"{name + ':':<24}{figure}" for name, figure in lines)


def _rate(stages: Iterable[Stage], confirmed: float) -> str:
    answered = [stage.messages.rate_per_s or 0.0 for stage in stages]
    if not answered:
        return "no rate was confirmed"
    return f"{confirmed:,.0f}/s, of which {min(answered):,.1f}/s were answered"


def _worst(stages: Iterable[Stage], name: str) -> str:
    return format_number(max((getattr(stage.latency_ms, name) or 0.0 for stage in stages), default=None), 2)


def _errors(stages: Iterable[Stage]) -> str:
    return units.percent(max((stage.messages.error_rate or 0.0 for stage in stages), default=None), 4)


def _throughput(rates: Iterable[dict[str, str]]) -> str:
    """How far answers kept up with what was asked, over all rates that were tried."""
    shares: dict[int, float] = {}
    for row in rates:
        rate = int(row["rate_per_s"])
        shares[rate] = min(shares.get(rate, 1.0), float(row["answered_per_s"]) / rate)
    return ", ".join(f"{share:.1%} of {rate:,}/s" for rate, share in sorted(shares.items())) or "unknown"

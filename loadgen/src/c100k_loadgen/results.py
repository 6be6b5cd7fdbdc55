"""What a run came to, computed from its files: counts are added, histograms merged, nothing is averaged."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from c100k_loadgen import generator_file, kernel
from c100k_loadgen.causes import UNSENT
from c100k_loadgen.distribution import Distribution, value_at
from c100k_loadgen.errors import ResultsError, reason_of
from c100k_loadgen.generator_file import GeneratorRecord
from c100k_loadgen.plan import Plan
from c100k_loadgen.raw_files import RawFiles, Row
from c100k_loadgen.reopening_results import Churned, Stormed, churned, stormed
from c100k_loadgen.stage_results import StageResults, stage_results
from c100k_loadgen.words import most_frequent

SCHEMA_VERSION = 1

#: What servers said that is told.
_SAID_MOST = 10

#: Later than this in more than 1 of 100 messages, and it is the generator that was measured.
_SLIP_P99_MAX_MS = 50.0


class Connections(msgspec.Struct, frozen=True):
    """`connected_min` is the fewest in any second of the hold, and `held_min` the fewest with those that the plan
    itself had closed and that were on their way back. Failures and closes are those of the whole run, and
    `session_ends` what became of sessions that were given up by DELETE at the end."""

    target: int
    opened: int
    peak: int
    connected_min: int
    held_min: int
    connect_errors: dict[str, int]
    closes: dict[str, int]
    session_ends: dict[str, int]


class Messages(msgspec.Struct, frozen=True):
    """Those intended in the hold. `errors` are all that went wrong, by `causes`; `error_share` is of the intended."""

    intended: int
    sent: int
    answered: int
    errors: int
    error_share: float
    rate_per_s: float
    causes: dict[str, int]


class Pings(msgspec.Struct, frozen=True):
    """The heartbeats of the settle and the hold phase, which are not among the messages; times are of the hold."""

    sent: int
    answered: int
    causes: dict[str, int]
    response_ms: Distribution


class Call(msgspec.Struct, frozen=True):
    """One of the calls that messages were, of those intended in the hold; figures are only there in a mix."""

    name: str
    sent: int | None = None
    answered: int | None = None
    response_ms: Distribution | None = None


class Second(msgspec.Struct, frozen=True):
    """One second of all workers; percentiles in milliseconds, of messages that came to an end in it."""

    t: int
    phase: str
    connected: int
    sent: int
    answered: int
    errors: int
    p50: float | None
    p95: float | None
    p99: float | None


class Generator(msgspec.Struct, frozen=True):
    """What the generator itself took in the hold, and how it ended."""

    version: str
    workers: int
    workers_died: int
    stop_reason: str
    cpu_us_per_message: float | None
    loop_lag_max_ms: float
    rss_bytes: int


class Results(msgspec.Struct, frozen=True):
    """A run as figures. `said` is what servers said when they refused something, how often; `doubts` say in what the
    generator was at fault, so that nothing can be claimed, and `warnings` what the kernel saw of the server."""

    schema_version: int
    run_id: str
    targets: list[str]
    transport: str
    protocol: str
    connection: str
    calls: list[Call]
    started_at: float
    ended_at: float | None
    hold_s: int
    connections: Connections
    messages: Messages
    response_ms: Distribution
    service_ms: Distribution
    slip_ms: Distribution
    stages: list[StageResults]
    pings: Pings | None
    churn: Churned | None
    storm: Stormed | None
    generator: Generator
    said: dict[str, int]
    doubts: list[str]
    warnings: list[str]
    seconds: list[Second]


def read_results(directory: Path) -> Results:
    """The results of the run whose files are in `directory`.

    Raises:
        ResultsError: there is no run.
    """
    path = directory / generator_file.FILE_NAME
    try:
        record = msgspec.json.decode(path.read_bytes(), type=GeneratorRecord)
    except (OSError, msgspec.MsgspecError) as error:
        raise ResultsError(path, reason_of(error)) from None
    plan, raw = record.plan, RawFiles(directory)
    hold_s = len({row["t"] for row in raw.rows("hold")})
    service, slip = (Distribution.of(raw.histogram("hold", tag)) for tag in ("service", "slip"))
    generator = _generator(record, raw)
    stages = stage_results(plan, raw)
    growth = record.kernel.growth if record.kernel is not None else {}
    return Results(
        schema_version=SCHEMA_VERSION,
        run_id=record.run_id,
        targets=[_place(plan, index) for index in range(len(plan.targets))],
        transport=plan.transport,
        protocol=plan.protocol,
        connection=plan.connection,
        calls=_calls(plan, raw),
        started_at=record.started_at,
        ended_at=record.ended_at,
        hold_s=hold_s,
        connections=_connections(raw, plan.connections),
        messages=_messages(raw, slip.samples, service.samples, hold_s),
        response_ms=Distribution.of(raw.histogram("hold", "response")),
        service_ms=service,
        slip_ms=slip,
        stages=stages,
        pings=_pings(raw) if plan.heartbeat_s else None,
        churn=churned(raw) if plan.churn_per_s else None,
        storm=stormed(raw) if plan.storm is not None else None,
        generator=generator,
        said=most_frequent(raw.said(), _SAID_MOST),
        doubts=[*_doubts(generator, slip, stages), *kernel.doubts(growth)],
        warnings=list(kernel.warnings(growth, target_here=record.kernel is not None and record.kernel.target_here)),
        seconds=list(_seconds(raw)),
    )


def _place(plan: Plan, index: int) -> str:
    target = plan.targets[index]
    if target.command:
        return f"stdio:{shlex.join(target.command)}"
    if target.unix:
        return f"unix://{target.address}"
    host = target.host_name or target.address
    scheme = {"websocket": "ws"}.get(plan.transport, plan.transport) + ("s" if plan.tls else "")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{target.port}" + (
        target.path if plan.transport in ("http", "websocket") else ""
    )


def _connections(raw: RawFiles, target: int) -> Connections:
    # A worker that died writes no rows, which is why its connections count as gone.
    by_second = {t: _sum(rows, "connected") for t, rows in raw.seconds().items()}
    hold = [rows for rows in raw.seconds().values() if rows[0]["phase"] == "hold"]
    return Connections(
        target=target,
        opened=sum(_sum(rows, "opened") for rows in raw.seconds().values()),
        peak=max(by_second.values(), default=0),
        connected_min=min((_sum(rows, "connected") for rows in hold), default=0),
        held_min=min((_sum(rows, "connected") + _sum(rows, "reopening") for rows in hold), default=0),
        connect_errors=raw.causes("connect_error"),
        closes=raw.causes("close"),
        session_ends=raw.causes("session_end"),
    )


def _messages(raw: RawFiles, sent: int, answered: int, hold_s: int) -> Messages:
    """The logs are by the phase of the intended send: `slip` has each message that was sent, `service` each answer."""
    causes = raw.causes("message_error", "hold")
    intended = sent + sum(causes.get(cause, 0) for cause in UNSENT)
    errors = sum(causes.values())
    return Messages(
        intended=intended,
        sent=sent,
        answered=answered,
        errors=errors,
        error_share=errors / intended if intended else 0.0,
        rate_per_s=answered / hold_s if hold_s else 0.0,
        causes=causes,
    )


def _calls(plan: Plan, raw: RawFiles) -> list[Call]:
    """Response times are those of what was answered, so without time-outs."""
    names = [spec.called for spec in plan.calls] or ["echo"]
    if len(names) == 1:
        return [Call(names[0])]
    found = []
    for name in names:
        response = Distribution.of(raw.histogram("hold", f"call.{name}"))
        found.append(Call(name, raw.sent_of(name), response.samples, response))
    return found


def _pings(raw: RawFiles) -> Pings:
    return Pings(
        sent=raw.sum_of("pings", "sent"),
        answered=raw.sum_of("pings", "answered"),
        causes=raw.causes("ping_error"),
        response_ms=Distribution.of(raw.histogram("hold", "ping")),
    )


def _generator(record: GeneratorRecord, raw: RawFiles) -> Generator:
    hold = [rows for rows in raw.seconds().values() if rows[0]["phase"] == "hold"]
    return Generator(
        version=record.versions.get("c100k_loadgen", "unknown"),
        workers=len(record.workers),
        workers_died=sum(worker.died_at is not None for worker in record.workers),
        stop_reason=record.stop_reason or "unknown",
        cpu_us_per_message=_cpu_us_per_message(hold),
        loop_lag_max_ms=max((float(row["loop_lag_max_ms"]) for rows in hold for row in rows), default=0.0),
        rss_bytes=max((_sum(rows, "rss_bytes") for rows in raw.seconds().values()), default=0),
    )


def _cpu_us_per_message(seconds: list[list[Row]]) -> float | None:
    """Of what was answered after the first of these seconds, whose rows say what had been spent until its end."""
    answered = sum(_sum(rows, "answered") for rows in seconds[1:])
    if not answered or len(seconds[0]) != len(seconds[-1]):
        return None
    first, last = (sum(float(row["cpu_s"]) for row in rows) for rows in (seconds[0], seconds[-1]))
    return (last - first) / answered * 1e6


def _doubts(generator: Generator, slip: Distribution, stages: Sequence[StageResults]) -> Iterator[str]:
    if generator.workers_died:
        yield f"{generator.workers_died} of {generator.workers} worker processes died"
    if generator.stop_reason != "completed":
        yield f"the run did not come to its end: {generator.stop_reason.replace('_', ' ')}"
    for part, late in (("", slip), *((f" in the stage {stage.name}", stage.slip_ms) for stage in stages)):
        if late.p99 is not None and late.p99 >= _SLIP_P99_MAX_MS:
            yield (
                f"the generator itself was late{part}: 1 of 100 messages left {late.p99:.0f} ms or more after their "
                "time; ask for a lower rate, or give it more cores"
            )


def _seconds(raw: RawFiles) -> Iterator[Second]:
    for t, rows in raw.seconds().items():
        histogram = raw.histogram_of(t, "response")
        known = histogram.get_total_count() > 0
        p50, p95, p99 = (value_at(histogram, percent) if known else None for percent in (50, 95, 99))
        connected, sent, answered = (_sum(rows, name) for name in ("connected", "sent", "answered"))
        errors = _sum(rows, "errors") + _sum(rows, "timeouts")
        yield Second(t, rows[0]["phase"], connected, sent, answered, errors, p50, p95, p99)


def _sum(rows: list[Row], column: str) -> int:
    return sum(int(row[column]) for row in rows)

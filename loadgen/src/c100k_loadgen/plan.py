"""The plan: what one host is asked to do. Fields and their limits are the types below; `plan_reader` checks them."""

from __future__ import annotations

import bisect
import itertools
import math
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from c100k_loadgen.phases import Timetable

# Patterns are such that Python and JSON Schema read them alike: for `$` alone, Python lets a newline pass at the end.

#: Names go into file names and CSV cells.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$(?!\n)", max_length=200)]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=0, le=30 * 24 * 3600)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(ge=0)]
#: What goes into a header as it is.
Visible = Annotated[str, Meta(pattern=r"^[!-~]+$(?!\n)", max_length=1000)]

#: Server processes that are started at most.
PROCESSES_MOST = 200

#: The name of a header.
HeaderName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]+$(?!\n)", max_length=200)]

#: How long after its reading a plan without `start_at` begins.
_LEAD_S = 1


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server: the name it is counted under, and where it listens, an IP address and port or a Unix socket's path.
    Over stdio it is a `command` instead, which is started for each connection.

    `host_name` is what its certificate must be for and what the header Host says, by default the address; `path` is
    that of its MCP endpoint over HTTP. Targets have connections by their `weight`.
    """

    name: Name
    address: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    host_name: Visible | None = None
    path: Visible = "/mcp"
    weight: Annotated[int, Meta(ge=1, le=1000)] = 1
    command: list[str] = []

    @property
    def unix(self) -> bool:
        return self.address.startswith("/")

    @property
    def local(self) -> bool:
        """Whether there is no network on the way."""
        return self.unix or bool(self.command)


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS to every target: `ca_file` has the authorities, instead of the system's; `insecure` checks nothing."""

    ca_file: str | None = None
    insecure: bool = False


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where each worker reads the bearer token from, a file or a variable of its environment.

    The plan is kept with what was measured, so the token itself is never in it.
    """

    file: str | None = None
    env: str | None = None


class CallSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of `tool`, which so many of the messages are as its `weight` has of all weights.

    In the texts of `arguments`, `${n}` is the number of the message and `${text:100}` a text of 100 bytes. `data` names
    a file with a JSON object a line, which messages take in turn, over `arguments`. Results are filed under `name`.

    `headers` says which arguments are repeated in which headers, by the path of properties to each; when it is not
    given, what the first target's `tools/list` asks for by `x-mcp-header`.
    """

    tool: Annotated[str, Meta(pattern=r"^[!-~]+$(?!\n)", max_length=128)]
    name: Name | None = None
    arguments: dict[str, Any] = {}
    data: str | None = None
    headers: dict[HeaderName, list[str]] | None = None
    weight: Annotated[float, Meta(gt=0, le=1e6)] = 1.0

    @property
    def called(self) -> str:
        return self.name or re.sub(r"[^A-Za-z0-9._-]", "-", self.tool)


class Stage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the hold, with a rate of its own; what its messages came to is filed under its `name` too."""

    name: Name
    seconds: Annotated[int, Meta(ge=1, le=30 * 24 * 3600)]
    rate_per_s: Rate


class Storm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every client comes back at once: `at_s` into the hold a `share` of the connections is closed, and opened again
    evenly over `within_s`. They end with a reset or in good order (`fin`); which they are follows from the seed."""

    at_s: Seconds
    share: Annotated[float, Meta(gt=0, le=1)]
    within_s: Annotated[float, Meta(gt=0, le=600)]
    close: Literal["rst", "fin"] = "rst"


class Abort(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a run is given up: more than `error_share` of all messages of the last `over_s` seconds went wrong."""

    error_share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    over_s: Annotated[int, Meta(ge=1, le=3600)] = 10


class FanOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of the resource `uri` of every target, half a second into each `every_s` of the hold phase.

    This host makes those of the targets in `publish_to`, by calling `tool`; some host must have each target.
    """

    every_s: Count
    publish_to: list[Name] = []
    tool: Name = "announce"
    uri: str = "c100k://harness/announcement"


class Probe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How targets are watched: each worker pings each of them every `every_s`, over a connection of its own.

    A target is dead when the worker heard nothing of it for `silence_s`, neither there nor on any other connection.
    """

    every_s: Annotated[float, Meta(ge=0.01, le=60)] = 0.25
    silence_s: Annotated[float, Meta(gt=0, le=600)] = 1.0


class Registry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each session registers a name before it counts as open. Then these shares of the messages are look-ups of the
    names of other sessions, at the `local` target or a `remote` one, `updates` of what the session has registered, and
    `cycles` of giving its name up and taking it again. The rest are echoes.

    For `stale_s` after a change look-ups may still find what was before it. After the hold all workers of all hosts
    want `contested` names at once, and each name is looked up once more.
    """

    local: Share = 0.1
    remote: Share = 0.4
    updates: Share = 0.02
    cycles: Share = 0.01
    stale_s: Annotated[float, Meta(ge=0, le=60)] = 2.0
    contested: Annotated[int, Meta(ge=0, le=60)] = 50


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host's part of a run. Durations are whole seconds, so that each second's row lies in one phase.

    `connections` are TCP connections, whatever kind of `connection` they carry: `session_stream` takes two for each
    session. Those of publishers come on top.

    `rate_per_s` messages are sent over all of this host's connections from the settle phase on. `start_at` is in Unix
    seconds. `timeout_s` bounds a connect with its handshake, and each request. `controller_timeout_s` ends the run when
    the status was not asked for so long; 0 never does.

    With `resume`, sessions outlive their connections: those of one target go on elsewhere within `resume_spread_s` of
    its loss. Of targets that hold more than their share `rebalance_per_s` sessions a second go back to one that holds
    less, as it has returned; 0 leaves them where they are. `increments` is the share of messages that are numbered
    `increment`s of the session's counter, which each session reads within `verify_s` after the hold. With `registry`,
    sessions have names, and that is how long they may take to be verified.

    Messages are `calls`; when there are none, of `echo`, with a text of `payload_bytes` that answers are held against.
    The order of calls, and the times of Poisson `arrivals`, follow from `seed`. With `reconnect` what is lost in the
    hold is opened again, and counted.

    Connections are opened evenly over `ramp_s`, or in `ramp_steps` equal bursts, one at the start of each equal part of
    it; of all attempts but those of sessions that are resumed, no more than `connects_per_s` are made.

    With `stages` the hold is as long as these are together, each has its own rate, and `rate_per_s` is that of the
    settle phase. Every session sends a `ping` each `heartbeat_s` from the settle phase on. A connection that has been
    answered gets its next message no sooner than `think_s` later, and only when it waits for no other answer. In the
    hold `churn_per_s` connections a second, in order, are closed when they have their answers and opened again at once.

    The protocol `auto` is what the first target speaks, and the connection `auto` that kind of its era which calls.
    """

    schema_version: Literal[1]
    run_id: Name
    host: Name
    protocol: Literal["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "auto"] = "2025-11-25"
    transport: Literal["tcp", "http", "websocket", "stdio"] = "tcp"
    connection: Literal["session", "session_stream", "stateless", "listen", "auto"] = "session"
    targets: list[Target]
    tls: Tls | None = None
    token: Token | None = None
    source_addresses: list[str] = []
    connections: Count
    rate_per_s: Rate
    arrivals: Literal["constant", "poisson"] = "constant"
    seed: int = 1
    calls: Annotated[list[CallSpec], Meta(max_length=50)] = []
    payload_bytes: Annotated[int, Meta(ge=0, le=1 << 20)] = 100
    start_at: Annotated[float, Meta(ge=0)] | None = None
    ramp_s: Seconds = 20
    ramp_steps: Annotated[int, Meta(ge=1, le=1000)] | None = None
    connects_per_s: Annotated[float, Meta(gt=0)] | None = None
    settle_s: Seconds = 10
    hold_s: Seconds = 300
    stages: Annotated[list[Stage], Meta(max_length=50)] = []
    heartbeat_s: Annotated[float, Meta(ge=0, le=24 * 3600)] = 0.0
    think_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    churn_per_s: Rate = 0.0
    storm: Storm | None = None
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    workers: Count | Literal["auto"] = "auto"
    reconnect: bool = False
    abort: Abort | None = None
    controller_timeout_s: Annotated[float, Meta(ge=0)] = 0.0
    fan_out: FanOut | None = None
    resume: bool = False
    resume_spread_s: Annotated[float, Meta(gt=0, le=600)] = 1.0
    rebalance_per_s: Annotated[float, Meta(ge=0, le=100_000)] = 0.0
    probe: Probe = Probe()
    increments: Share = 0.0
    registry: Registry | None = None
    verify_s: Seconds = 30

    @property
    def stateless(self) -> bool:
        """Whether it is of the era without sessions."""
        return self.connection in ("stateless", "listen")

    @property
    def verifies(self) -> bool:
        """Whether something is read back after the hold."""
        return self.increments > 0 or self.registry is not None

    @property
    def connections_each(self) -> int:
        """The TCP connections that one of what is held consists of."""
        return 2 if self.connection == "session_stream" else 1

    @property
    def publish_to(self) -> list[str]:
        return self.fan_out.publish_to if self.fan_out else []

    @property
    def rate_most_per_s(self) -> float:
        """The highest rate of all phases and stages."""
        return max(self.rate_per_s, *(stage.rate_per_s for stage in self.stages), 0.0)

    @property
    def stages_begin_at(self) -> list[int]:
        """When each stage of a resolved plan begins; Unix seconds."""
        ends = itertools.accumulate((stage.seconds for stage in self.stages), initial=self.timetable.hold_at)
        return list(ends)[:-1]

    def stage_at(self, t: float) -> str:
        """The stage of a resolved plan at the moment `t`; none outside of the hold."""
        if not self.stages or self.timetable.phase_at(t) != "hold":
            return ""
        return self.stages[bisect.bisect_right(self.stages_begin_at, t) - 1].name

    def resolved(self, now: float) -> Plan:
        """With a start, on a whole second: all hosts that are given the same start round it alike."""
        start_at = now + _LEAD_S if self.start_at is None else self.start_at
        return msgspec.structs.replace(self, start_at=float(math.ceil(start_at)))

    @property
    def publish_moments(self) -> list[float]:
        """When a resolved plan has its publishes, and last the end of the last one's time; Unix seconds.

        Half a second lies between them and the rows that every worker writes on the whole second.
        """
        if self.fan_out is None:
            return []
        first, every_s = self.timetable.hold_at + 0.5, self.fan_out.every_s
        moments = [first + number * every_s for number in range(self.hold_s // every_s + 1)]
        return [min(moment, self.timetable.stop_at) for moment in moments]

    @property
    def timetable(self) -> Timetable:
        """The phases of a resolved plan."""
        if self.start_at is None:
            raise ValueError("a plan has a timetable once it is resolved")
        return Timetable.of(int(self.start_at), self.ramp_s, self.settle_s, self.hold_s)


def plan_schema() -> bytes:
    """The JSON Schema of a plan. What fields say about each other, only `plan_reader` knows."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(Plan)}
    return msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"

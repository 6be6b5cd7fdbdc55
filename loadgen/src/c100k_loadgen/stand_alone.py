"""A run without a plan file: what the command line says of one server, as a plan."""

from __future__ import annotations

import argparse
import datetime
import json
import math
import re
from pathlib import Path
from typing import Any

from c100k_loadgen.calls import calls_of
from c100k_loadgen.credentials import check_credentials
from c100k_loadgen.errors import PlanError, reason_of
from c100k_loadgen.plan import Plan
from c100k_loadgen.plan_reader import make_plan
from c100k_loadgen.source_addresses import addresses_of
from c100k_loadgen.url import parse_url, target_of

#: Connects a second that a server is asked for when nothing is said; a connection more takes that much longer.
_RAMP_PER_S = 500
#: And processes, which take a while to start.
_PROCESSES_PER_S = 5

#: Options that are a field of the plan by another name.
_SHAPE = {"heartbeat": "heartbeat_s", "think": "think_s", "churn": "churn_per_s"}

_STAGE = re.compile(r"([^:]+):(\d+):(\d+(?:\.\d+)?)")

_DEFAULTS: dict[str, Any] = {
    "connections": 10,
    "rate": 100.0,
    "duration": 10,
    "settle": 2,
    "timeout": 10.0,
    "tool": "echo",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what a plan would. None of them has a default here, so that it shows which were given."""
    group = parser.add_argument_group(
        "with a URL", "https://, http://, wss://, ws://, tcps://, tcp://, unix:///PATH or 'stdio:COMMAND'"
    )
    option = group.add_argument
    option("--connections", type=int, metavar="N", help="connections to hold (10)")
    option("--rate", type=float, metavar="N", help="calls a second over all connections, open loop (100)")
    option("--duration", type=int, metavar="SECONDS", help="how long to measure (10)")
    option(
        "--ramp",
        type=int,
        metavar="SECONDS",
        help="open connections evenly over this time (1 s for each 500, or 5 processes)",
    )
    option("--settle", type=int, metavar="SECONDS", help="call at the full rate so long before measuring (2)")
    option(
        "--stage",
        action="append",
        metavar="NAME:SECONDS:RATE",
        help="measure so long at so many calls a second, instead of --duration and --rate; may be repeated",
    )
    option("--heartbeat", type=float, metavar="SECONDS", help="ping each session this often (never)")
    option("--think", type=float, metavar="SECONDS", help="let a connection rest so long after each answer (0)")
    option("--churn", type=float, metavar="N", help="close N connections a second, and open them again (0)")
    option("--timeout", type=float, metavar="SECONDS", help="for a connect and for each call (10)")
    option("--tool", metavar="NAME", help="the tool to call (echo, whose answers are held against what was sent)")
    option("--arguments", metavar="JSON", help="its arguments, an object; @FILE reads them from a file")
    option("--data", metavar="FILE", help="more arguments, a JSON object a line; calls take the lines in turn")
    option("--payload-bytes", type=int, metavar="N", help="size of echo's text (100)")
    option("--arrivals", choices=("constant", "poisson"), help="evenly (constant), or at random")
    option("--seed", type=int, metavar="N", help="which randomness: the same seed has the same arrivals again (1)")
    option("--protocol", metavar="REVISION", help="the MCP revision (auto: what the server speaks)")
    option(
        "--connection",
        metavar="KIND",
        help="session, session_stream, stateless or listen (auto: session or stateless, whichever the server has)",
    )
    option("--token-file", metavar="FILE", help="the bearer token is in this file")
    option("--token-env", metavar="NAME", help="the bearer token is in this variable of the environment")
    option("--ca-file", metavar="FILE", help="check the server's certificate against these authorities")
    option("--insecure", action="store_true", default=None, help="do not check the server's certificate at all")
    option("--source", metavar="NETWORK", help="connect from the addresses of this network, such as 10.0.0.0/28")
    option("--workers", type=int, metavar="N", help="processes (as many as are of use)")
    option("--no-reconnect", action="store_true", default=None, help="do not open again what is lost while measuring")


def given_options(options: argparse.Namespace) -> list[str]:
    """The options of `add_options` that were given."""
    reader = argparse.ArgumentParser(add_help=False)
    add_options(reader)
    names = [action.dest for action in reader._actions]
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def plan_of(address: str, options: argparse.Namespace) -> Plan:
    """The plan for the server at `address`.

    Raises:
        LoadgenError: it cannot be reached, or an option is no good.
    """
    url = parse_url(address)
    given = {name: value for name, value in vars(options).items() if value is not None}
    chosen = {**_DEFAULTS, **given}
    kind = chosen.get("connection", "auto")
    protocol = chosen.get("protocol", "auto")
    stages = [_stage(text) for text in given.get("stage", [])]
    if stages and "duration" in given:
        raise PlanError(address, ["--duration is what the stages take together; leave it."])
    if given.get("duration", 1) < 1:
        raise PlanError(address, [f"--duration is {given['duration']}; in less than a second nothing is measured."])
    fields: dict[str, Any] = {
        "schema_version": 1,
        "run_id": f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-load",
        "host": "local",
        "protocol": protocol,
        "transport": url.transport,
        "connection": kind if "connection" in given or protocol == "auto" else _kind_of(protocol),
        "connections": chosen["connections"],
        "rate_per_s": _rate_per_s(kind, given, stages),
        "ramp_s": chosen.get(
            "ramp", math.ceil(chosen["connections"] / (_PROCESSES_PER_S if url.command else _RAMP_PER_S))
        ),
        "settle_s": chosen["settle"],
        **({"stages": stages} if stages else {"hold_s": chosen["duration"]}),
        "timeout_s": chosen["timeout"],
        "reconnect": not chosen.get("no_reconnect", False),
    }
    fields |= {name: given[name] for name in ("payload_bytes", "workers", "arrivals", "seed") if name in given}
    fields |= {field: given[name] for name, field in _SHAPE.items() if name in given}
    if "source" in given:
        fields["source_addresses"] = addresses_of(given["source"])
    if "arguments" in given or "data" in given or given.get("tool", "echo") != "echo":
        call: dict[str, Any] = {"tool": chosen["tool"], "arguments": _arguments(given.get("arguments", "{}"))}
        fields["calls"] = [{**call, **({"data": given["data"]} if "data" in given else {})}]
    if url.tls:
        fields["tls"] = {name: given[name] for name in ("ca_file", "insecure") if name in given}
    elif "ca_file" in given or "insecure" in given:
        raise PlanError(address, ["--ca-file and --insecure are for https:// and tcps://, and for wss://."])
    if "token_file" in given or "token_env" in given:
        fields["token"] = {name: given[f"token_{name}"] for name in ("file", "env") if f"token_{name}" in given}
    # Its name is looked up last, so that what was mistyped is found without the server.
    nowhere = {"command": list(url.command)} if url.command else {"address": "127.0.0.1", "port": 1}
    plan = make_plan({**fields, "targets": [{"name": "server", **nowhere}]}, address)
    check_credentials(plan)
    calls_of(plan)
    return make_plan({**fields, "targets": [target_of(url)]}, address)


def _rate_per_s(kind: str, given: dict[str, Any], stages: list[dict[str, Any]]) -> Any:
    """The rate of the measuring, or of the settling before the stages: that of the first, unless another is given."""
    default = 0 if kind == "listen" else stages[0]["rate_per_s"] if stages else _DEFAULTS["rate"]
    return given.get("rate", default)


def _stage(text: str) -> dict[str, Any]:
    match = _STAGE.fullmatch(text)
    if match is None:
        raise PlanError("--stage", [f"{text!r} is no stage; write one like warm:30:100, which is NAME:SECONDS:RATE."])
    name, seconds, rate = match.groups()
    return {"name": name, "seconds": int(seconds), "rate_per_s": float(rate)}


def _kind_of(protocol: str) -> str:
    return "stateless" if protocol == "2026-07-28" else "session"


def _arguments(text: str) -> Any:
    source = "--arguments"
    try:
        if text.startswith("@"):
            source = text[1:]
            text = Path(source).read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as error:
        raise PlanError(source, [f"this is not JSON that can be read: {reason_of(error)}."]) from None
    if not isinstance(found, dict):
        raise PlanError(source, ["arguments must be a JSON object."])
    return found

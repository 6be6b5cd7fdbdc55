"""What the fields that shape the load over time say about each other and about the rest of a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

#: What sessions that outlive their connections do in their own way, or not at all.
_NOT_WITH_RESUME = ("stages", "heartbeat_s", "think_s", "churn_per_s", "storm")


def line_of(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def shape_problems(nodes: Mapping[str, yaml.Node], values: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """What is wrong, each with its line. `values` are the fields that are good by themselves, `connections` among
    them, and `nodes` where they stand."""
    for name, sentence in (*_kinds(values), *_connects(values), *_storm(values)):
        yield line_of(nodes[name]), sentence


def _kinds(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which kinds of connections can do it."""
    kind = values.get("connection", "session")
    given = [name for name in _NOT_WITH_RESUME if values.get(name)]
    if values.get("resume"):
        yield from ((name, f"{name} needs resume: false.") for name in given)
    if values.get("heartbeat_s") and kind in ("stateless", "listen"):
        yield "heartbeat_s", f"heartbeat_s needs sessions, and connection is {kind}: its era has no ping."
    if kind == "listen" and values.get("think_s"):
        yield "think_s", "think_s needs connections that call, and connection is listen."
    if kind == "listen" and any(stage.get("rate_per_s") for stage in values.get("stages", [])):
        yield "stages", "stages must have rate_per_s: 0: a connection that listens carries no calls."
    if values.get("fan_out"):
        for name in ("churn_per_s", "storm"):
            if values.get(name):
                yield name, f"{name} goes without fan_out: who was closed on purpose could not hear."


def _connects(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Whether what is to be opened can be opened in its time."""
    most, connections, ramp_s = values.get("connects_per_s"), values["connections"], values.get("ramp_s", 20)
    churn_per_s = values.get("churn_per_s", 0) * (2 if values.get("connection") == "session_stream" else 1)
    if not most:
        return
    if connections > most * ramp_s:
        needed = f"{connections / most:,.1f} s for {connections:,} connections"
        yield "connects_per_s", f"connects_per_s is {most:g}, which takes {needed}, and ramp_s is {ramp_s}."
    if churn_per_s > most:
        yield "churn_per_s", f"churn_per_s opens {churn_per_s:g} a second, and connects_per_s is {most:g}."


def _storm(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    storm = values.get("storm")
    if not isinstance(storm, dict) or not {"at_s", "share", "within_s"} <= storm.keys():
        return
    hold_s, most = values.get("hold_s", 300), values.get("connects_per_s")
    if storm["at_s"] + storm["within_s"] > hold_s:
        over = f"{storm['at_s'] + storm['within_s']:g} s into the hold"
        yield "storm", f"storm is over {over} at the earliest, and hold_s is {hold_s}."
    returning = storm["share"] * values["connections"]
    if most and returning > most * storm["within_s"]:
        sooner = f"{returning / most:,.1f} s for {returning:,.0f} connections"
        given = f"and within_s is {storm['within_s']:g}"
        yield "storm", f"storm: connects_per_s is {most:g}, which takes {sooner}, {given}."

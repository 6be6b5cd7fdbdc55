"""Reading a plan. A bad one is refused whole, with every problem and its line.

Each field is checked on its own, so that one bad field does not hide the next; then what fields say about each other.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import math
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import msgspec
import yaml

from c100k_loadgen.errors import PlanError
from c100k_loadgen.load_shape import line_of, shape_problems
from c100k_loadgen.messages import STATELESS_REVISION
from c100k_loadgen.plan import (
    PROCESSES_MOST,
    Abort,
    CallSpec,
    FanOut,
    Plan,
    Probe,
    Registry,
    Stage,
    Storm,
    Target,
    Tls,
    Token,
)

#: Fields that are mappings with fields of their own.
_NESTED: dict[str, type[msgspec.Struct]] = {
    "abort": Abort,
    "fan_out": FanOut,
    "probe": Probe,
    "registry": Registry,
    "storm": Storm,
    "tls": Tls,
    "token": Token,
}


def read_plan(path: Path) -> Plan:
    """Read and check the plan at `path`.

    Raises:
        PlanError: it cannot be read, or it has problems (all of them are told).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(str(path), [f"it cannot be read: {error.strerror}."]) from None
    except UnicodeDecodeError:
        raise PlanError(str(path), ["it is not a text file in UTF-8."]) from None
    return parse_plan(text, str(path))


def parse_plan(text: str, source: str) -> Plan:
    """The plan in `text`; `source` names it in problems."""
    try:
        return _plan_in(text, source)
    except RecursionError:
        raise PlanError(source, ["it is nested too deeply."]) from None


def _plan_in(text: str, source: str) -> Plan:
    reader = _Reader()
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise PlanError(source, [f"line {line}: this is not YAML: {error.problem}."]) from None
    except yaml.YAMLError as error:
        raise PlanError(source, [f"this is not YAML: {str(error).splitlines()[0]}."]) from None
    if node is None:
        raise PlanError(source, ["line 1: the plan is empty."])
    fields = reader.fields(node, Plan, "")
    if reader.problems:
        raise PlanError(source, [f"line {line}: {sentence}" for line, sentence in sorted(reader.problems)])
    return msgspec.convert(fields, Plan)


def make_plan(fields: Mapping[str, Any], source: str) -> Plan:
    """The plan with these fields, which come from no file: its problems have no lines."""
    reader = _Reader()
    node = yaml.compose(yaml.safe_dump(dict(fields)), Loader=yaml.SafeLoader)
    assert node is not None
    values = reader.fields(node, Plan, "")
    if reader.problems:
        raise PlanError(source, [sentence for _, sentence in reader.problems])
    return msgspec.convert(values, Plan)


class _Reader:
    """Turns YAML nodes into checked values, and keeps what is wrong with them as (line, sentence)."""

    def __init__(self) -> None:
        self.problems: list[tuple[int, str]] = []
        self._constructor = yaml.constructor.SafeConstructor()

    def fields(self, node: yaml.Node, kind: type[msgspec.Struct], prefix: str) -> dict[str, Any]:
        """The values in `node`, a mapping, that are good for the fields of `kind`."""
        if not isinstance(node, yaml.MappingNode):
            self._add(node, f"{prefix.rstrip('.') or 'a plan'} must be a mapping of names to values.")
            return {}
        known = {field.name: field for field in msgspec.structs.fields(kind)}
        seen: dict[str, yaml.Node] = {}
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._add(key_node, f"{prefix}a name is expected here.")
                continue
            key = str(key_node.value)
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"; did you mean {close[0]}?" if close else "."
                self._add(key_node, f"{prefix}{key} is not known here{hint}")
            elif key in seen:
                self._add(key_node, f"{prefix}{key} is given twice; the first is on line {line_of(seen[key])}.")
            else:
                seen[key] = value_node
                self._field(key, value_node, known[key].type, prefix, values)
        for name, field in known.items():
            close_to = [key for key in (str(getattr(k, "value", "")) for k, _ in node.value) if key not in known]
            if field.required and name not in seen and not difflib.get_close_matches(name, close_to, n=1):
                self._add(node, f"{prefix}{name} is missing.")
        self._together(seen, values, prefix)
        return values

    def _field(self, key: str, node: yaml.Node, kind: Any, prefix: str, values: dict[str, Any]) -> None:
        if key == "targets":
            values[key] = self._targets(node)
            return
        if key == "calls":
            values[key] = self._calls(node)
            return
        if key == "stages":
            values[key] = self._stages(node)
            return
        if key in _NESTED:
            values[key] = self.fields(node, _NESTED[key], f"{key}.")
            return
        try:
            value = self._constructor.construct_object(node, deep=True)
        except Exception:  # PyYAML lets through whatever its converters raise on an explicit tag
            self._add(node, f"{prefix}{key} cannot be read as a value.")
            return
        if isinstance(value, float) and not math.isfinite(value):
            self._add(node, f"{prefix}{key} must be a finite number.")
            return
        try:
            values[key] = msgspec.convert(value, kind)
            json.dumps(value, allow_nan=False, default=str, ensure_ascii=False).encode()
        except msgspec.ValidationError as error:
            self._add(node, f"{prefix}{key} is {value!r}; {_expected(kind) or _plain(str(error))}.")
        except (TypeError, ValueError):
            self._add(node, f"{prefix}{key} holds what JSON has not: an infinite number, say, or half a character.")

    def _stages(self, node: yaml.Node) -> list[dict[str, Any]]:
        if not isinstance(node, yaml.SequenceNode):
            self._add(node, "stages must be a list of {name, seconds, rate_per_s}.")
            return []
        found = [self.fields(item, Stage, f"stages[{index}].") for index, item in enumerate(node.value)]
        names: dict[str, int] = {}
        for index, (item, stage) in enumerate(zip(node.value, found, strict=True)):
            if "name" in stage and names.setdefault(stage["name"], index) != index:
                self._add(item, f"stages[{index}] has the name {stage['name']} of stages[{names[stage['name']]}].")
        return found

    def _calls(self, node: yaml.Node) -> list[dict[str, Any]]:
        if not isinstance(node, yaml.SequenceNode):
            self._add(node, "calls must be a list of {tool, arguments, data, weight}.")
            return []
        found = [self.fields(item, CallSpec, f"calls[{index}].") for index, item in enumerate(node.value)]
        names: dict[str, int] = {}
        for index, (item, call) in enumerate(zip(node.value, found, strict=True)):
            name = str(call.get("name") or call.get("tool"))
            if names.setdefault(name, index) != index:
                self._add(item, f"calls[{index}] is called {name} as calls[{names[name]}] is; give it a name.")
        return found

    def _targets(self, node: yaml.Node) -> list[dict[str, Any]]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            self._add(node, "targets must be a list of at least one {name, address, port}.")
            return []
        found = [self.fields(item, Target, f"targets[{index}].") for index, item in enumerate(node.value)]
        names: dict[str, int] = {}
        places: dict[tuple[str, int], int] = {}
        for index, (item, target) in enumerate(zip(node.value, found, strict=True)):
            given = {str(getattr(key, "value", "")) for key, _ in getattr(item, "value", ())}
            if given <= set(Target.__struct_fields__) and ("address" in given) == ("command" in given):
                self._add(item, f"targets[{index}] needs either address or command.")
            if "name" in target and names.setdefault(target["name"], index) != index:
                self._add(item, f"targets[{index}] has the name {target['name']} of targets[{names[target['name']]}].")
            if "address" in target and "port" in target:
                place = (str(_address(target["address"])), target["port"])
                if places.setdefault(place, index) != index:
                    self._add(item, f"targets[{index}] is the same address and port as targets[{places[place]}].")
        return found

    def _together(self, nodes: dict[str, yaml.Node], values: dict[str, Any], prefix: str) -> None:
        """What the type of one field does not say."""
        if "address" in values:
            self._place(nodes, values, prefix)
        token = values.get("token")
        if token is not None and (token.get("file") is None) == (token.get("env") is None):
            self._add(nodes["token"], "token needs either file or env.")
        sources = [_address(text) for text in values.get("source_addresses", [])]
        for text, source in zip(values.get("source_addresses", []), sources, strict=True):
            if source is None:
                self._add(nodes["source_addresses"], f"source_addresses holds {text!r}, which is not an IP address.")
        if len(set(sources)) < len(sources):
            self._add(nodes["source_addresses"], "source_addresses holds the same address twice.")
        targets = [_address(target["address"]) for target in values.get("targets", []) if "address" in target]
        if sources and None in targets:
            self._add(nodes["source_addresses"], "source_addresses are of no use to reach a Unix socket.")
        if len({address.version for address in (*sources, *targets) if address}) > 1 and sources:
            self._add(nodes["source_addresses"], "source_addresses and targets mix IPv4 and IPv6.")
        if values.get("stages"):
            self._hold_of_stages(nodes, values)
        if "connections" in values:
            self._kinds(nodes, values)
            self.problems += shape_problems(nodes, values)
        workers, connections = values.get("workers"), values.get("connections", math.inf)
        if isinstance(workers, int) and workers > connections:
            self._add(nodes["workers"], f"workers is {workers}, more than the {connections} connections they share.")
        if (start_at := values.get("start_at")) is not None and start_at < time.time():
            self._add(nodes["start_at"], f"start_at is {time.time() - start_at:,.1f} s in the past.")

    def _hold_of_stages(self, nodes: dict[str, yaml.Node], values: dict[str, Any]) -> None:
        """The hold is as long as its stages; whoever gives its length too must have added them up."""
        seconds = sum(stage.get("seconds", 0) for stage in values["stages"])
        if values.setdefault("hold_s", seconds) != seconds:
            self._add(nodes["hold_s"], f"hold_s is {values['hold_s']}, but stages take {seconds} s; leave hold_s.")

    def _place(self, nodes: dict[str, yaml.Node], values: dict[str, Any], prefix: str) -> None:
        """Where a target is: an IP address with a port, or a path."""
        is_path = values["address"].startswith("/")
        if not is_path and _address(values["address"]) is None:
            self._add(nodes["address"], f"{prefix}address is {values['address']!r}, which is not an IP address.")
            del values["address"]
        elif is_path and values.get("port"):
            self._add(nodes["port"], f"{prefix}port is {values['port']}, but a Unix socket has none.")
        elif not is_path and not values.get("port") and ("port" in values or "port" not in nodes):
            self._add(nodes["address"], f"{prefix}port is missing.")

    def _kinds(self, nodes: dict[str, yaml.Node], values: dict[str, Any]) -> None:
        """Kinds of connections, and what goes with them."""
        kind, protocol = values.get("connection", "session"), values.get("protocol", "2025-11-25")
        at = nodes.get("connection") or nodes["connections"]
        if values.get("transport", "tcp") != "http" and kind not in ("session", "stateless", "auto"):
            self._add(at, f"connection is {kind}, which needs transport: http.")
        if values.get("transport", "tcp") == "tcp" and values.get("token") is not None:
            self._add(nodes["token"], "token needs transport: http or websocket, in whose headers it is sent.")
        if "auto" in (kind, protocol):
            if kind == "auto" != protocol:
                self._add(at, "connection is auto, which needs protocol: auto.")
        elif (kind in ("stateless", "listen")) != (protocol == STATELESS_REVISION):
            era = STATELESS_REVISION if protocol != STATELESS_REVISION else "2025-11-25 or older"
            self._add(at, f"connection is {kind}, which needs a protocol of its era: {era}, not {protocol}.")
        if kind == "listen" and values.get("rate_per_s"):
            self._add(nodes["rate_per_s"], "rate_per_s must be 0: a connection that listens carries no calls.")
        if kind == "session_stream" and values["connections"] % 2:
            self._add(nodes["connections"], "connections must be even: each session has two, one for its stream.")
        self._processes(nodes, values)
        if values.get("resume") and (values.get("transport", "tcp"), kind) != ("tcp", "session"):
            self._add(nodes["resume"], "resume needs transport: tcp and connection: session.")
        if values.get("resume") and (values.get("calls") or values.get("reconnect")):
            self._add(nodes["resume"], "resume has calls and reconnects of its own: leave calls and reconnect.")
        if values.get("rebalance_per_s") and not values.get("resume"):
            self._add(
                nodes["rebalance_per_s"], "rebalance_per_s needs resume: true: other sessions stay where they are."
            )
        if values.get("increments") and not values.get("resume"):
            self._add(nodes["increments"], "increments needs resume: true, so that no outcome stays unknown.")
        if isinstance(nodes.get("registry"), yaml.MappingNode):
            self._registry(nodes["registry"], values)
        fan_out = values.get("fan_out")
        if fan_out is None:
            return
        if kind not in ("session_stream", "listen"):
            self._add(nodes["fan_out"], f"fan_out needs connections that listen, and connection is {kind}.")
        if fan_out.get("every_s", 1) > values.get("hold_s", 300):
            self._add(nodes["fan_out"], "fan_out.every_s is longer than hold_s.")
        names = {target.get("name") for target in values.get("targets", [])}
        for name in fan_out.get("publish_to", []):
            if name not in names:
                self._add(nodes["fan_out"], f"fan_out.publish_to holds {name!r}, which is not among the targets.")

    def _processes(self, nodes: dict[str, yaml.Node], values: dict[str, Any]) -> None:
        """What is said of servers that are started, and of others."""
        stdio = values.get("transport") == "stdio"
        for target in values.get("targets", []):
            if "address" in target if stdio else "command" in target:
                self._add(nodes["targets"], "transport: stdio is for targets with a command, and for no others.")
        if not stdio:
            return
        if values["connections"] > PROCESSES_MOST:
            self._add(
                nodes["connections"],
                f"connections is {values['connections']}: over stdio each is a process, {PROCESSES_MOST} at most.",
            )
        for name in ("tls", "token", "source_addresses"):
            if values.get(name) is not None and values.get(name) != []:
                self._add(nodes[name], f"{name} is of no use over stdio.")

    def _registry(self, node: yaml.Node, values: dict[str, Any]) -> None:
        """What names of sessions go with."""
        registry = {field.name: field.default for field in msgspec.structs.fields(Registry)} | values["registry"]
        if not values.get("resume"):
            self._add(node, "registry needs resume: true: only sessions that outlive their connection have names.")
        if values.get("increments"):
            self._add(node, "registry needs increments: 0: a session has one thing to count.")
        if (shares := sum(registry[name] for name in ("local", "remote", "updates", "cycles"))) > 1 + 1e-9:
            self._add(
                node, f"registry asks for {shares:g} of the messages: local, remote, updates and cycles are shares."
            )
        if registry["remote"] and len(values.get("targets", [])) == 1:
            self._add(node, "registry.remote needs a second target.")

    def _add(self, node: yaml.Node, sentence: str) -> None:
        self.problems.append((line_of(node), sentence))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _expected(kind: Any) -> str:
    """What a field may be that has a choice of words or numbers; nothing for other fields."""
    choices = [
        str(choice) for part in (kind, *get_args(kind)) if get_origin(part) is Literal for choice in get_args(part)
    ]
    if not choices:
        return ""
    others = [] if get_origin(kind) is Literal else ["a whole number from 1 on"]
    *most, last = choices + others
    return f"expected {', '.join(most)} or {last}" if most else f"expected {last}"


#: msgspec's words for types, and for the patterns that texts must match.
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "bool": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_PATTERNS = {
    "[A-Za-z0-9][A-Za-z0-9._-]*": "of letters, digits, dots, hyphens and underscores, a letter or a digit first",
    "[A-Za-z0-9_.-]+": "that can be the name of a header",
    "[!-~]+": "of visible ASCII characters, without spaces",
}


def _plain(error: str) -> str:
    """msgspec's message as the rest of a sentence: "Expected `int` >= 1" -> "expected a whole number >= 1"."""
    sentence, at, place = (error[0].lower() + error[1:]).partition(" - at ")
    sentence = re.sub("`([^`]*)`", lambda found: " or ".join(_WORDS.get(w, w) for w in found[1].split(" | ")), sentence)
    sentence = re.sub(r"matching regex '\^(.*)\$\(.*\)'", lambda found: _PATTERNS[found[1]], sentence)
    return sentence + (" as a name in it" if "key" in place else " in it" if at else "")

"""Mutation that knows JSON: half of the mutants of a message are messages still, with one thing changed in them."""

from __future__ import annotations

import json
import random
import re
from typing import Any

_MESSAGE = re.compile(rb"[{\[].*[}\]]")
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**63, 2**64, -(2**63) - 1, 10**40, 1e308, "", "x", "é\u2028", "x" * 300, [], {},
    [[]], [None], {"": None}, "server-1", "test://static", "elicit", "ask_all",
)  # fmt: skip


def mutate_message(text: bytes, chance: random.Random) -> bytes:
    """Change one thing in one of the JSON texts of an input, which may be left as it is."""
    spans = [match.span() for match in _MESSAGE.finditer(text)]
    if not spans:
        return text
    start, end = chance.choice(spans)
    try:
        message = json.loads(text[start:end])
    except (ValueError, RecursionError):
        return text
    changed = _change(message, chance)
    try:
        mutant = json.dumps(changed, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return text
    if chance.random() < 0.2:
        # The same once more, as a line of its own.
        mutant = text[start:end] + b"\n" + mutant
    return text[:start] + mutant + text[end:]


def _change(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        what = chance.random()
        if what < 0.75:
            return {**value, key: _change(value[key], chance)}
        if what < 0.85:
            return {name: each for name, each in value.items() if name != key}
        return {**value, chance.choice(("", "x", "_meta", "id", "uri", "name", "cursor")): chance.choice(_VALUES)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        position = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value + [value[position]] * chance.choice((1, 3, 40))
        return [*value[:position], _change(value[position], chance), *value[position + 1 :]]
    if isinstance(value, str) and value and chance.random() < 0.4:
        position = chance.randrange(len(value))
        return value[:position] + chance.choice(("", "-", "/", "%", "=", "\0", "é", value)) + value[position + 1 :]
    if type(value) is int and chance.random() < 0.5:
        return value + chance.choice((-1, 1, 2, 2**31, 2**53))
    return chance.choice(_VALUES)

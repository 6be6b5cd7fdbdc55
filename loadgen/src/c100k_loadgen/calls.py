"""What is called: `echo`, whose answers are held against what was sent, or a mix of calls of any tools.

Which call a message is follows from its id, so that nothing needs to be remembered until it is answered.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from c100k_loadgen.errors import PlanError, reason_of
from c100k_loadgen.messages import STATELESS_META
from c100k_loadgen.param_headers import argument_at, header_line
from c100k_loadgen.plan import CallSpec, Plan

#: The turns of a mix: how finely its weights are kept.
TURNS = 1000

#: Of the number of a message.
_DIGITS_MOST = 20

#: `${n}` is the number of the message, `${text:100}` a text of 100 bytes.
_PLACEHOLDER = re.compile(r"\$\{(n|text:[0-9]{1,7})\}")


class Calls(Protocol):
    """The calls that messages are. `names` has each of them, or nothing where there is no telling them apart."""

    names: Sequence[str]

    def message(self, request_id: int) -> tuple[bytes, str | None]:
        """The request as a line, and the text that must come back; None where any result will do."""

    def routing(self, request_id: int) -> bytes:
        """The header that names the tool, where the era wants one."""

    def index(self, request_id: int) -> int:
        """Which of `names` the message is."""


def calls_of(plan: Plan) -> Calls:
    """What a plan's messages are."""
    if not plan.calls:
        return EchoCalls(plan.payload_bytes, stateless=plan.stateless)
    return MixedCalls(plan.calls, plan.seed, stateless=plan.stateless)


def _routing(tool: str, *, stateless: bool) -> bytes:
    return b"Mcp-Name: %b\r\n" % tool.encode("ascii") if stateless else b""


class EchoCalls:
    """`tools/call` of `echo`; its text has exactly `payload_bytes` and follows from the id, so it can be checked."""

    __slots__ = ("_end", "_fillers", "_payload_bytes", "_routing", "names")

    def __init__(self, payload_bytes: int, *, stateless: bool = False) -> None:
        letters = string.ascii_lowercase
        self.names: Sequence[str] = ()
        filler = "-" + (letters * (payload_bytes // len(letters) + 1))
        # What fills the text up after a number of so many digits.
        self._fillers = [filler[: max(0, payload_bytes - digits)] for digits in range(_DIGITS_MOST + 1)]
        self._payload_bytes = payload_bytes
        self._routing = _routing("echo", stateless=stateless)
        meta = f',"_meta":{msgspec.json.encode(STATELESS_META).decode()}' if stateless else ""
        self._end = f'"}}{meta}}}}}\n'

    def message(self, request_id: int) -> tuple[bytes, str]:
        number = str(request_id)
        text = number[: self._payload_bytes] + self._fillers[len(number)]
        # Written by hand: nothing in it needs escaping, and this takes a third of the time of encoding a dictionary.
        line = (
            f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call",'
            f'"params":{{"name":"echo","arguments":{{"text":"{text}{self._end}'
        )
        return line.encode("ascii"), text

    def routing(self, request_id: int) -> bytes:
        return self._routing

    def index(self, request_id: int) -> int:
        return 0


class MixedCalls:
    """Calls of any tools by their weights, in an order that `seed` decides."""

    __slots__ = ("_bodies", "_headers", "_order", "_routings", "names")

    def __init__(self, specs: Sequence[CallSpec], seed: int, *, stateless: bool = False) -> None:
        self.names: Sequence[str] = [spec.called for spec in specs] if len(specs) > 1 else ()
        self._routings = [_routing(spec.tool, stateless=stateless) for spec in specs]
        self._headers = [_ParamHeaders(spec) if stateless and spec.headers else None for spec in specs]
        self._bodies = [_Bodies(spec, stateless=stateless) for spec in specs]
        self._order = _order([spec.weight for spec in specs], seed)

    def index(self, request_id: int) -> int:
        return self._order[request_id % TURNS]

    def routing(self, request_id: int) -> bytes:
        index = self._order[request_id % TURNS]
        headers = self._headers[index]
        return self._routings[index] if headers is None else self._routings[index] + headers.lines(request_id)

    def message(self, request_id: int) -> tuple[bytes, None]:
        params = self._bodies[self._order[request_id % TURNS]].params(request_id)
        return b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":%b}\n' % (request_id, params), None


def _order(weights: Sequence[float], seed: int) -> list[int]:
    """`TURNS` places, each call in so many of them as its weight asks for, and at least in one."""
    whole = sum(weights)
    ends = [round(sum(weights[: index + 1]) / whole * TURNS) for index in range(len(weights))]
    places = [index for index, end in enumerate(ends) for _ in range(end - (ends[index - 1] if index else 0))]
    for index in set(range(len(weights))) - set(places):
        places[places.index(max(set(places), key=places.count))] = index
    random.Random(seed).shuffle(places)
    return places


class _Bodies:
    """The parameters of one call, as they differ from message to message."""

    __slots__ = ("_pieces",)

    def __init__(self, spec: CallSpec, *, stateless: bool) -> None:
        meta = {"_meta": STATELESS_META} if stateless else {}
        # What is given is encoded once, cut where something is to be filled in.
        self._pieces = [
            _cut(msgspec.json.encode({"name": spec.tool, "arguments": arguments, **meta}).decode())
            for arguments in _arguments(spec)
        ]

    def params(self, request_id: int) -> bytes:
        pieces = self._pieces[request_id % len(self._pieces)]
        if len(pieces) == 1:
            return pieces[0]
        return _filled(pieces, request_id)


class _ParamHeaders:
    """The arguments of one call that are repeated in headers."""

    __slots__ = ("_rows",)

    def __init__(self, spec: CallSpec) -> None:
        self._rows = [
            [
                (name, _cut(value))
                for name, path in (spec.headers or {}).items()
                if (value := argument_at(arguments, path)) is not None
            ]
            for arguments in _arguments(spec)
        ]

    def lines(self, request_id: int) -> bytes:
        row = self._rows[request_id % len(self._rows)]
        return b"".join([header_line(name, _filled(pieces, request_id).decode()) for name, pieces in row])


def _arguments(spec: CallSpec) -> list[dict[str, Any]]:
    """Those of a call, as they take turns."""
    rows = list(read_rows(spec.data)) if spec.data is not None else [{}]
    return [{**spec.arguments, **row} for row in rows]


def _filled(pieces: list[bytes], request_id: int) -> bytes:
    number = b"%d" % request_id
    return b"".join([number if piece is _NUMBER else piece for piece in pieces])


#: Stands for the number of the message.
_NUMBER = b"${n}"


def _cut(encoded: str) -> list[bytes]:
    pieces = []
    for place, piece in enumerate(_PLACEHOLDER.split(encoded)):
        if place % 2 == 0:
            pieces.append(piece.encode())
        elif piece == "n":
            pieces.append(_NUMBER)
        else:
            pieces.append(("abcdefghijklmnopqrstuvwxyz" * (int(piece[5:]) // 26 + 1))[: int(piece[5:])].encode())
    return pieces if any(piece is _NUMBER for piece in pieces) else [b"".join(pieces)]


def read_rows(path: str) -> Iterator[dict[str, Any]]:
    """The arguments in a file, a JSON object a line.

    Raises:
        PlanError: they cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(path, [f"the arguments cannot be read: {reason_of(error)}."]) from None
    found = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise PlanError(path, [f"line {number}: this is no JSON object: {error}."]) from None
        found += 1
    if not found:
        raise PlanError(path, ["there are no arguments in it."])

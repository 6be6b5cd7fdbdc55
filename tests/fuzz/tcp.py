"""Input door: a TCP or Unix socket, one JSON message a line."""

from __future__ import annotations

import json
import zlib
from typing import Any

from c100k_server.session import UNREADABLE_MAX
from c100k_server.statistics import RECEIVED
from c100k_server.tcp import Connection
from fuzz.bench import (
    ANOTHER,
    DRAIN,
    LIMITS,
    PUBLISH,
    READ_AGAIN,
    RESET,
    SETTLE,
    STOP_READING,
    TIME_PASSES,
    Bench,
    Outcome,
    cutting,
    whole,
)
from fuzz.judge import answers, read_lines, requests_in, require

# Instructions after which not all is answered, or not always the same.
_DISTURBING = (STOP_READING, TIME_PASSES, DRAIN, RESET, PUBLISH, ANOTHER)


def check(bench: Bench, data: bytes) -> None:
    """Raises `Finding`."""
    outcome = _play(bench, data, in_segments=False)
    if any(each in data for each in _DISTURBING):
        if not {"slow_reader", "reset"} & set(outcome.causes) and RESET not in data:
            for received in outcome.received:
                read_lines(received)
        return
    messages = read_lines(outcome.received[0])
    lines = _lines(data)
    _judge(outcome, messages, lines)
    if _is_repeatable(data, lines):
        again = _play(bench, data, in_segments=True)
        if _has_twins(messages) or _has_twins(read_lines(again.received[0])):
            # Whether an id is under way still, when it comes again, is a matter of time.
            return
        require(again.causes == outcome.causes, "segments change the cause", outcome.causes, again.causes)
        seen, seen_again = _comparable(messages), _comparable(read_lines(again.received[0]))
        require(seen == seen_again, "segments change the answers", seen, seen_again)


def _play(bench: Bench, data: bytes, *, in_segments: bool) -> Outcome:
    return bench.play(
        bench.tcp, lambda: Connection(bench.tcp), data, cutting(zlib.crc32(data)) if in_segments else whole
    )


def _lines(data: bytes) -> list[bytes]:
    """The lines that the server has to look at: those before one that is too long, with none that is not whole."""
    lines = data.replace(SETTLE, b"").replace(READ_AGAIN, b"").split(b"\n")[:-1]
    fitting = next((n for n, line in enumerate(lines) if len(line) > LIMITS.max_line_bytes), len(lines))
    return lines[:fitting]


def _judge(outcome: Outcome, messages: list[Any], lines: list[bytes]) -> None:
    (cause,) = outcome.causes
    require(cause in ("peer", "oversize", "malformed"), "an unexpected cause", cause)
    given = [json.dumps(each["id"]) for each in answers(messages)]
    if cause == "peer":
        nonblank = sum(1 for line in lines if line.strip())
        require(outcome.figures[RECEIVED] >= nonblank, "messages that were not counted", nonblank)
        if not any(word in line for line in lines for word in (b"cancel", b"listen", b"\\u")):
            mentions = b"\n".join(lines)
            for request_id, count in requests_in(lines).items():
                answered = given.count(request_id)
                # What is no request but has its id, or is in a batch, is answered, too.
                if "\\u" in request_id:
                    continue
                require(
                    count <= answered <= mentions.count(request_id.encode()), "not answered once", request_id, answered
                )
    elif cause == "malformed":
        require(len(given) >= UNREADABLE_MAX and given[-1] == "null", "malformed without a reason", messages[-1:])
    else:
        require(messages[-1]["error"]["message"].endswith("closing"), "oversize without a reason", messages[-1:])


def _is_repeatable(data: bytes, lines: list[bytes]) -> bool:
    """Whether the answers do not depend on when a message comes: nothing cancels, nothing refers to another."""
    if any(word in data for word in (b"cancel", b"\\u", b"server-", b"listen", b"chang", b"task")):
        return False
    return len(lines) < 100


def _has_twins(messages: list[Any]) -> bool:
    given = [json.dumps(each["id"]) for each in answers(messages) if each["id"] is not None]
    return len(given) != len(set(given))


def _comparable(messages: list[Any]) -> list[str]:
    """In one order, without what differs each time."""
    for each in answers(messages):
        each.get("result", {}).pop("requestState", None)
        if each.get("error", {}).get("code") == -32700:
            # Where the parser gives up depends on whether it was given the newline.
            del each["error"]["message"]
    return sorted(json.dumps(each, sort_keys=True) for each in messages)

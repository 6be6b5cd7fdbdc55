"""What servers say when they refuse: their own words, bounded in size and number, and how often each was heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from c100k_loadgen.messages import Message, decode_envelope

#: Different words that one worker keeps. Whatever comes after them is counted together.
_DIFFERENT_MOST = 20
_LENGTH_MOST = 200
OTHERS = "(anything else)"


class Words:
    """Counts what is said; of different words the first are kept. `counts` is since the last `take`."""

    __slots__ = ("_known", "counts")

    def __init__(self) -> None:
        self._known: set[str] = set()
        self.counts: Counter[str] = Counter()

    def add(self, text: str) -> None:
        words = _plain(text)
        if words not in self._known:
            if len(self._known) == _DIFFERENT_MOST:
                words = OTHERS
            else:
                self._known.add(words)
        self.counts[words] += 1

    def take(self) -> Counter[str]:
        """What was said since the last call."""
        taken, self.counts = self.counts, Counter()
        return taken


def describe(words: str, count: int) -> str:
    return f"{words} (\u00d7 {count:,})"


def most_frequent(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """The most frequent first, with what is not among them counted together."""
    ordered = Counter({words: count for words, count in counts.items() if words != OTHERS}).most_common()
    shown, rest = dict(ordered[:most]), sum(count for _, count in ordered[most:]) + counts.get(OTHERS, 0)
    return {**shown, OTHERS: rest} if rest else shown


def of_error(error: Any) -> str:
    """A JSON-RPC error."""
    if not isinstance(error, dict):
        return f"error {error}"
    return f"{error.get('code', '')} {error.get('message', '')}"


def of_failure(message: Message) -> str:
    """The answer to a call that went wrong: an error, or a result that says of itself that it is one."""
    if message.error is not None or message.result is None:
        return of_error(message.error)
    return " ".join(("the result is an error:", *(content.text or "" for content in message.result.content)))


def of_message(message: bytes) -> str | None:
    """The error in a message, if it is one."""
    try:
        envelope = decode_envelope(message)
    except msgspec.MsgspecError:
        return None
    return None if envelope.error is None else of_error(envelope.error)


def of_response(status: int, body: bytes) -> str:
    """An answer of HTTP that should have another status."""
    said = of_message(body) or body[: 4 * _LENGTH_MOST].decode(errors="replace")
    return f"HTTP {status} {said}"


def _plain(text: str) -> str:
    """On one line, as far as it can be shown."""
    line = " ".join(text[: 4 * _LENGTH_MOST].split())
    shown = "".join(character if character.isprintable() else "?" for character in line)
    return shown if len(shown) <= _LENGTH_MOST else f"{shown[: _LENGTH_MOST - 3]}..."

"""The input doors: how each is fuzzed, and how an input of it is checked."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from fuzz import http, parsers, seeds, stdio, tcp
from fuzz.bench import Bench
from fuzz.mutation import mutate_message


class Target(NamedTuple):
    """`check` raises `Finding`; `repair` makes a mutant come through the door again, some of the time."""

    check: Callable[[Bench, bytes], None]
    seeds: Callable[[], list[bytes]]
    words: Callable[[], list[bytes]]
    max_bytes: int
    mutate: Callable[[bytes, random.Random], bytes]
    repair: Callable[[bytes, random.Random], bytes]


def _as_it_is(data: bytes, chance: random.Random) -> bytes:
    return data


TARGETS = {
    "tcp": Target(tcp.check, seeds.line_seeds, seeds.words, 16_384, mutate_message, _as_it_is),
    "http": Target(http.check, http.http_seeds, http.http_words, 16_384, http.mutate_request, http.repair),
    "stdio": Target(stdio.check, seeds.line_seeds, seeds.words, 16_384, mutate_message, _as_it_is),
    "parsers": Target(parsers.check, parsers.parser_seeds, parsers.parser_words, 32_768, parsers.mutate, _as_it_is),
}

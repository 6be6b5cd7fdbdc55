"""The hosts while they serve: what every server and every generator counts itself, once a second."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from c100k.live import Endpoint, Progress, merge

#: An answer that takes longer is none.
ANSWER_LIMIT_S = 2.0

_METRIC = re.compile(r"^(c100k_server_\w+)\{[^}]*worker=\"[^\"]+\"[^}]*\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Watched:
    """A host, and where its server shows its metrics and its generator its status; `None` for a part it has not."""

    name: str
    metrics: str | None
    status: str | None


@dataclass(frozen=True)
class Sight:
    """One host at one moment. A figure is `None` where nobody answered, and `generator` while no run is on."""

    name: str
    connections: int | None
    received: int | None
    rss_bytes: int | None
    generator: Mapping[str, Any] | None


def watched(servers: Sequence[Endpoint], loadgens: Sequence[Endpoint]) -> list[Watched]:
    """All hosts that serve or generate, from where the ones show their metrics and the others their status."""
    metrics, status = ({endpoint.name: endpoint.url for endpoint in each} for each in (servers, loadgens))
    return [Watched(name, metrics.get(name), status.get(name)) for name in dict.fromkeys([*metrics, *status])]


def follow(hosts: Sequence[Watched], every_s: float = 1.0) -> Iterator[list[Sight]]:
    """Ask all hosts at once, again and again."""
    with ThreadPoolExecutor(max_workers=max(1, len(hosts))) as pool:
        while True:
            began = time.monotonic()
            yield list(pool.map(look, hosts))
            time.sleep(max(0.0, every_s - (time.monotonic() - began)))


def look(host: Watched) -> Sight:
    """What one host counts now."""
    metrics = _ask(host.metrics, bytes.decode)
    status = _ask(host.status, json.loads)
    sums: dict[str, float] = {}
    for name, value in _METRIC.findall(metrics or ""):
        sums[name] = sums.get(name, 0.0) + float(value)
    connections, received, rss_bytes = (
        int(sums[f"c100k_server_{name}"]) if f"c100k_server_{name}" in sums else None
        for name in ("connections", "messages_received_total", "resident_memory_bytes")
    )
    return Sight(host.name, connections, received, rss_bytes, status if isinstance(status, dict) else None)


def _ask(url: str | None, read: Callable[[bytes], Any]) -> Any:
    if url is None:
        return None
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_LIMIT_S) as answer:
            return read(answer.read())
    except (OSError, HTTPException, ValueError):
        return None


@dataclass(frozen=True)
class Shown:
    """A server as people read it; `answers` is whether it did."""

    name: str
    answers: bool
    connections: str
    rate: str
    memory: str


def shown(now: Sequence[Sight], before: Sequence[Sight] | None, passed_s: float) -> list[Shown]:
    """All servers, and their sum. Rates need the sight before, so many seconds ago."""
    earlier = {sight.name: sight.received for sight in before or ()}
    lines = []
    for sight in now:
        last, received = earlier.get(sight.name), sight.received
        rate = None if last is None or received is None or passed_s <= 0 else (received - last) / passed_s
        memory = "-" if sight.rss_bytes is None else f"{sight.rss_bytes / 2**20:,.0f} MiB"
        answers = sight.connections is not None
        lines.append(Shown(sight.name, answers, _number(sight.connections), _number(rate), memory))
    known = [sight.connections for sight in now if sight.connections is not None]
    return [*lines, Shown("all", True, f"{sum(known):,}", "", "")]


def progress(now: Sequence[Sight]) -> Progress | None:
    """The run as its generators say that it is; nothing while none is on."""
    statuses = {sight.name: sight.generator for sight in now if sight.generator is not None}
    return merge(statuses) if statuses else None


def table(now: Sequence[Sight], before: Sequence[Sight] | None, passed_s: float) -> str:
    """The run and all hosts in lines, without control characters."""
    run = progress(now)
    lines = [run.line() if run else "no run"]
    lines.append(f"{'host':<12}{'connections':>12}{'msg/s':>9}{'memory':>11}   generator")
    generators = [_generator(sight) for sight in now]
    lines += [
        f"{host.name:<12}{host.connections:>12}{host.rate:>9}{host.memory:>11}   {generator}".rstrip()
        for host, generator in zip(shown(now, before, passed_s), [*generators, ""], strict=True)
    ]
    silent = [sight.name for sight in now if sight.connections is None]
    return "\n".join(lines) + (f"   no server answers at {', '.join(silent)}" if silent else "")


def _generator(sight: Sight) -> str:
    status = sight.generator
    if status is None:
        return "no run"
    return f"{status['state']}, {status['connected']:,} of {status['target']:,} connected"


def _number(value: float | None) -> str:
    return "-" if value is None or value < 0 else f"{value:,.0f}"

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

from c100k.live import Endpoint

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


def table(now: Sequence[Sight], before: Sequence[Sight] | None, passed_s: float) -> str:
    """All hosts in lines. Rates need the sight before, so many seconds ago."""
    earlier = {sight.name: sight for sight in before or ()}
    lines = [f"{'host':<12}{'connections':>12}{'msg/s':>9}{'memory':>11}   generator"]
    for sight in now:
        last = earlier.get(sight.name)
        rate = None
        if last is not None and None not in (last.received, sight.received) and passed_s > 0:
            rate = ((sight.received or 0) - (last.received or 0)) / passed_s
        memory = "-" if sight.rss_bytes is None else f"{sight.rss_bytes / 2**20:,.0f} MiB"
        lines.append(
            f"{sight.name:<12}{_number(sight.connections):>12}{_number(rate):>9}{memory:>11}   {_generator(sight)}"
        )
    known = [sight.connections for sight in now if sight.connections is not None]
    silent = [sight.name for sight in now if sight.connections is None]
    lines.append(f"{'all':<12}{sum(known):>12,}" + (f"   no server answers at {', '.join(silent)}" if silent else ""))
    return "\n".join(lines)


def _generator(sight: Sight) -> str:
    status = sight.generator
    if status is None:
        return "no run"
    return f"{status['state']}, {status['connected']:,} of {status['target']:,} connected"


def _number(value: float | None) -> str:
    return "-" if value is None or value < 0 else f"{value:,.0f}"

"""A run while it happens: the status of every generator, merged, once a second."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hdrh.histogram import HdrHistogram

from c100k.histograms import empty

#: Every generator is asked this often; one that is not asked for `controller_timeout_s` stops by itself.
POLL_S = 1.0

#: A generator host that has not answered for this long is taken for lost.
LOST_S = 30.0

#: After the end of its plan it need not answer any more; a generator ends as soon as its last request is settled.
GONE_S = 3.0

#: The width of the bar.
_BAR = 20

#: The states of a generator, in their order.
PHASES = ("wait", "ramp", "settle", "hold", "stop", "verify", "done")


@dataclass(frozen=True)
class Endpoint:
    """Where one generator serves its status."""

    name: str
    url: str


@dataclass(frozen=True)
class HostProgress:
    """The generator of one host at one moment, as it last answered. `reopening` connections its plan has closed."""

    name: str
    state: str
    connected: int
    target: int
    rate_per_s: int
    p95_ms: float | None
    errors: int
    reopening: int = 0


@dataclass(frozen=True)
class Progress:
    """All generators at one moment. `silent` names those that did not answer."""

    t: float
    state: str
    connected: int
    target: int
    rate_per_s: int
    p95_ms: float | None
    errors: int
    connect_errors: int
    closed: int
    away: int
    seconds_left: float
    silent: tuple[str, ...]
    hosts: tuple[HostProgress, ...] = ()

    @property
    def bar(self) -> str:
        """How much of the target is connected."""
        done = round(_BAR * min(1.0, self.connected / self.target)) if self.target else 0
        return f"[{'#' * done}{'.' * (_BAR - done)}]"

    def line(self) -> str:
        """One line for a terminal or a log, without control characters."""
        p95 = "p95    -   " if self.p95_ms is None else f"p95 {self.p95_ms:6.1f} ms"
        minutes, seconds = divmod(max(0, round(self.seconds_left)), 60)
        trouble = (
            f", {self.closed:,} closed, {self.connect_errors:,} connects failed"
            if self.closed or self.connect_errors
            else ""
        )
        away = f", {self.away:,} sessions away" if self.away else ""
        late = [f"{host.name} {host.connected:,} / {host.target:,}" for host in self.hosts if self._is_behind(host)]
        behind = f"; behind: {', '.join(late)}" if late else ""
        silent = f"; no answer from {', '.join(self.silent)}" if self.silent else ""
        return (
            f"{self.state:<6} {self.bar} {self.connected:>7,} / {self.target:,} connected  "
            f"{self.rate_per_s:>6,} msg/s  {p95}  {self.errors:,} errors{trouble}{away}  "
            f"{minutes}:{seconds:02} left{behind}{silent}"
        )

    def _is_behind(self, host: HostProgress) -> bool:
        """Whether it lacks connections that it should have by now."""
        return self.state in ("settle", "hold") and host.connected + host.reopening < host.target


def follow(endpoints: Sequence[Endpoint], start_by_s: float = 60.0) -> Iterator[Progress]:
    """Ask all generators once a second until all are done or lost.

    Args:
        endpoints: every generator of the run.
        start_by_s: how long a generator that has not answered yet may take to begin.
    """
    last: dict[str, Mapping[str, Any]] = {}
    heard = {endpoint.name: time.monotonic() - LOST_S + start_by_s for endpoint in endpoints}
    with ThreadPoolExecutor(max_workers=max(1, len(endpoints))) as pool:
        while True:
            began = time.monotonic()
            answers = dict(zip((endpoint.name for endpoint in endpoints), pool.map(_ask, endpoints), strict=True))
            for name, answer in answers.items():
                if answer is not None:
                    last[name], heard[name] = answer, began
            waiting = [name for name in heard if not _over(last.get(name), answers[name], began - heard[name])]
            yield merge(last, tuple(name for name in waiting if answers[name] is None))
            if not waiting:
                return
            time.sleep(max(0.0, POLL_S - (time.monotonic() - began)))


def _ask(endpoint: Endpoint) -> Mapping[str, Any] | None:
    try:
        with urllib.request.urlopen(endpoint.url, timeout=5) as response:
            answer = json.load(response)
    except (OSError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def _over(last: Mapping[str, Any] | None, answer: Mapping[str, Any] | None, silent_s: float) -> bool:
    """A generator is over when it says so, when it fell silent after its time, or when it was silent for too long."""
    if last is None:
        return silent_s > LOST_S
    ended = answer is None and time.time() > last["ends_at"]
    return last["state"] == "done" or silent_s > (GONE_S if ended else LOST_S)


def merge(statuses: Mapping[str, Mapping[str, Any]], silent: tuple[str, ...] = ()) -> Progress:
    """What all generators say together."""
    now = time.time()
    merged = empty()
    hosts = []
    for name, status in statuses.items():
        second = status.get("last_second") or {}
        own = empty()
        if second.get("response_hdr"):
            own.decode_and_add(second["response_hdr"])
            merged.add(own)
        hosts.append(
            HostProgress(
                name=name,
                state=status["state"],
                connected=status["connected"],
                target=status["target"],
                rate_per_s=second.get("answered", 0),
                p95_ms=_p95(own),
                errors=status["errors"] + status["timeouts"],
                reopening=status["reopening"],
            )
        )
    return Progress(
        t=now,
        state=min((host.state for host in hosts), key=PHASES.index, default="wait"),
        connected=sum(host.connected for host in hosts),
        target=sum(host.target for host in hosts),
        rate_per_s=sum(host.rate_per_s for host in hosts),
        p95_ms=_p95(merged),
        errors=sum(host.errors for host in hosts),
        connect_errors=sum(status["connect_errors"] for status in statuses.values()),
        closed=sum(status["closed"] for status in statuses.values()),
        away=sum(status["away"] for status in statuses.values()),
        seconds_left=max((status["ends_at"] for status in statuses.values()), default=now) - now,
        silent=silent,
        hosts=tuple(hosts),
    )


def _p95(histogram: HdrHistogram) -> float | None:
    return histogram.get_value_at_percentile(95) / 1000 if histogram.get_total_count() else None

"""Why connections closed and workers died: the events of the run put side by side, in sentences."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from c100k.outages import Outage
from c100k.samples import ON_PURPOSE, HostSamples

#: A close belongs to a death that happened on its target within this time of it.
_NEAR_S = 3.0

_CLOSES_SHOWN = 8


def explain_deaths(hosts: Iterable[HostSamples]) -> Iterator[str]:
    """One sentence for each process that died, by the log of the server or the record of the generator's parent."""
    for host in hosts:
        for event in _server_deaths(host):
            yield (
                f"{host.name}: server worker {event['worker']} (pid {event['pid']}) {_how(event)} "
                f"at {_clock(event['t'])}, while it held {event['connections']:,} connections"
            )
        for worker in (host.generator or {}).get("workers", []):
            if worker["died_at"]:
                yield (
                    f"{host.name}: generator worker {worker['index']} (pid {worker['pid']}) "
                    f"{_exit(worker['exit_code'])} in the {worker['phase']} phase"
                )


def explain_closes(hosts: Sequence[HostSamples], outages: Sequence[Outage] = ()) -> list[str]:
    """Unexplained closes and failed connects by target and cause, each beside the death that it goes with.

    What an outage of the target explains is left out: it was meant to happen.
    """
    deaths = {host.name: list(_server_deaths(host)) for host in hosts}
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for event in (event for host in hosts for event in host.causes):
        if any(outage.explains(event.target, event.t) for outage in outages):
            continue
        if event.kind == "close" and event.cause not in ON_PURPOSE:
            near = [death for death in deaths.get(event.target, []) if abs(death["t"] - event.t) <= _NEAR_S]
            why = f", where server worker {near[0]['worker']} {_how(near[0])}" if near else ""
            counts[("connections closed", event.cause, event.target, f"in the {event.phase} phase{why}")] += event.count
        elif event.kind == "connect_error":
            counts[("attempts to connect failed", event.cause, event.target, "")] += event.count
    sentences = [
        f"{count:,} {what} ({cause}) at {target} {where}".rstrip()
        for (what, cause, target, where), count in counts.most_common()
    ]
    rest = len(sentences) - _CLOSES_SHOWN
    return (
        sentences
        if rest <= 0
        else [*sentences[:_CLOSES_SHOWN], f"and {rest} more kinds of closes; see hosts/*/*-causes.csv"]
    )


def _server_deaths(host: HostSamples) -> Iterator[dict[str, Any]]:
    return (event for event in host.events if event["event"] == "worker_died")


def _how(event: dict[str, Any]) -> str:
    if event.get("signal"):
        return f"was killed by {event['signal']}"
    return f"exited with status {event.get('status')}"


def _exit(code: int) -> str:
    return _killed(-code) if code < 0 else f"exited with status {code}"


def _killed(number: int) -> str:
    try:
        return f"was killed by {signal.Signals(number).name}"
    except ValueError:
        return f"was killed by signal {number}"


def _clock(t: float) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(t))

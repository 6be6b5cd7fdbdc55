"""A run in a terminal, drawn anew as it goes on: by `c100k run` below what a playbook says, or by the playbook.

The view of `c100k run` reads what the playbook writes into the run directory. It asks no host for anything, so it can
neither slow a run nor fail it.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import IO, Any, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from c100k import progress
from c100k.errors import C100KError
from c100k.live import PHASES, HostProgress, Progress
from c100k.monitor import Sight, shown
from c100k.recovery import Fault, read_faults
from c100k.run_directory import RunDirectory

_STEPS = "▁▂▃▄▅▆▇█"

#: The seconds of the sparkline.
_SPARK_S = 45

#: What the playbook started may keep its output open after it, as the connections of SSH do.
_LAST_WORDS_S = 1.0


class View:
    """A context manager around a playbook whose output is a pipe: shows its lines, and the run below them."""

    def __init__(self, playbook: Popen[str], store: Path, stamp: str, console: Console | None = None) -> None:
        self._output: IO[str] | None = playbook.stdout
        self._run = _Followed(store, stamp)
        self._drawn: RenderableType = Text()
        self._console = console or Console()
        self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=2, transient=True)
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> View:
        self._live.start()
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.join(_LAST_WORDS_S)
        self._live.stop()

    def _read(self) -> None:
        for line in self._output or ():
            self._console.print(Text.from_ansi(line.rstrip("\n")), soft_wrap=True)

    def _draw(self) -> RenderableType:
        # What is being written may be half there; the next look will see it whole.
        with contextlib.suppress(C100KError, OSError, ValueError):
            self._drawn = self._run.drawn(time.time())
        return self._drawn


class _Followed:
    """The newest run of one start of the playbook: there is none at first, and a scenario may have several."""

    def __init__(self, store: Path, stamp: str) -> None:
        self._store = store
        self._stamp = stamp
        self._plans: dict[Path, dict[str, Any]] = {}

    def drawn(self, now: float) -> RenderableType:
        paths = [path for path in self._store.glob(f"{self._stamp}-*") if RunDirectory(path).plan.exists()]
        if not paths:
            return Text("preparing the hosts", style="dim")
        run = RunDirectory(max(paths, key=lambda path: RunDirectory(path).plan.stat().st_mtime))
        plan = self._plans.setdefault(run.path, run.read_plan())
        seen = progress.read(run)
        if not seen:
            return Panel(Text("getting the servers and generators ready", style="dim"), title=run.run_id)
        return draw(run.run_id, seen, read_faults(run.faults), p95_limit(plan), now)


class Screen:
    """Frames that are drawn over each other, as text for who may write to the terminal."""

    def __init__(self, columns: int, lines: int) -> None:
        self._columns, self._lines = columns, lines
        self._drawn = 0

    def frame(self, drawn: RenderableType) -> str:
        """One frame, in the place of the one before; what is higher than the terminal is cut off."""
        text = io.StringIO()
        colours: Literal["standard"] | None = None if os.environ.get("NO_COLOR") else "standard"
        Console(file=text, width=self._columns, force_terminal=True, color_system=colours).print(drawn)
        lines = text.getvalue().splitlines()[: self._lines - 1]
        back = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        self._drawn = len(lines)
        return back + "\n".join(lines)


def p95_limit(plan: Mapping[str, Any]) -> float | None:
    """The limit of p95 in the rules, if it is a number."""
    limits = [rule.get("limit") for rule in plan.get("sla", ()) if rule.get("metric") == "latency_ms.p95"]
    return next((float(limit) for limit in limits if isinstance(limit, int | float)), None)


def draw(run_id: str, seen: Sequence[Progress], faults: Sequence[Fault], limit: float | None, now: float) -> Panel:
    """The run as it was last seen: phases, connections, messages, faults and hosts."""
    return Panel(_run(seen, faults, limit, now), title=run_id, title_align="left")


def draw_hosts(
    now: Sequence[Sight], before: Sequence[Sight] | None, passed_s: float, seen: Sequence[Progress]
) -> Panel:
    """What servers count, below the run as its generators say that it is, if there is one."""
    servers = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    servers.add_column("server")
    for name in ("connections", "msg/s", "memory"):
        servers.add_column(name, justify="right")
    for host in shown(now, before, passed_s):
        servers.add_row(Text(host.name, style="" if host.answers else "red"), host.connections, host.rate, host.memory)
    run = [_run(seen, (), None, seen[-1].t), Text()] if seen else [Text("no run", style="dim"), Text()]
    return Panel(Group(*run, servers), title="hosts", title_align="left")


def _run(seen: Sequence[Progress], faults: Sequence[Fault], limit: float | None, now: float) -> RenderableType:
    last = seen[-1]
    whole = Table.grid(padding=(0, 2))
    whole.add_column(style="dim")
    whole.add_column()
    whole.add_row("phase", _phases(last))
    whole.add_row("connected", _connected(last))
    whole.add_row("messages", _messages(last))
    whole.add_row("p95", _p95(seen, limit))
    for fault in faults:
        whole.add_row("fault", _fault(fault, now))
    return Group(whole, Text(), _hosts(last.hosts, last.silent))


def _phases(last: Progress) -> Text:
    reached = PHASES.index(last.state)
    text = Text()
    for number, phase in enumerate(PHASES[1:], 1):
        style = "bold reverse" if number == reached else "green" if number < reached else "dim"
        text.append(f" {phase} ", style)
    minutes, seconds = divmod(max(0, round(last.seconds_left)), 60)
    return text.append(f"   {minutes}:{seconds:02} left")


def _connected(last: Progress) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    line.add_row(
        ProgressBar(total=max(1, last.target), completed=last.connected, width=30),
        f"{last.connected:,} / {last.target:,}",
        Text(f"{last.closed:,} closed, {last.connect_errors:,} connects failed", style=_alarm(last.closed)),
        Text(f"{last.away:,} sessions away" if last.away else "", style="yellow"),
    )
    return line


def _messages(last: Progress) -> Text:
    text = Text(f"{last.rate_per_s:,}/s   ")
    return text.append(f"{last.errors:,} errors", style=_alarm(last.errors))


def _p95(seen: Sequence[Progress], limit: float | None) -> Text:
    """Now, and over the last seconds, from 0 to the largest."""
    values = [each.p95_ms for each in seen[-_SPARK_S:]]
    known = [value for value in values if value is not None]
    if not known:
        return Text("-", style="dim")
    last = values[-1]
    text = Text("      -   " if last is None else f"{last:7.1f} ms", style=_over(last, limit))
    text.append("  ").append(sparkline(values), style=_over(max(known), limit) or "cyan")
    text.append(f"  peak {max(known):,.1f} ms", style="dim")
    return text.append(f", limit {limit:g} ms", style="dim") if limit is not None else text


def sparkline(values: Iterable[float | None]) -> str:
    """One character a value, from 0 to the largest; a blank for one that is unknown."""
    values = list(values)
    most = max((value for value in values if value is not None), default=0) or 1
    return "".join(" " if value is None else _STEPS[min(7, int(value / most * 8))] for value in values)


def _fault(fault: Fault, now: float) -> Text:
    text = Text(f"{fault.kind.replace('_', ' ')} of {fault.host} {now - fault.injected_at:.0f} s ago, ")
    if fault.healed_at is None:
        return text.append("dead", style="bold red")
    if fault.healthy_at is None:
        return text.append(f"healed {now - fault.healed_at:.0f} s ago, not whole yet", style="yellow")
    return text.append(f"whole again {fault.healthy_at - fault.healed_at:.1f} s after it was healed", style="green")


def _hosts(hosts: Sequence[HostProgress], silent: Sequence[str]) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("generator")
    for name in ("phase", "connected", "msg/s", "p95 ms", "errors"):
        table.add_column(name, justify="right")
    for host in hosts:
        table.add_row(
            Text(host.name, style="red" if host.name in silent else ""),
            "no answer" if host.name in silent else host.state,
            f"{host.connected:,} / {host.target:,}",
            f"{host.rate_per_s:,}",
            "-" if host.p95_ms is None else f"{host.p95_ms:.1f}",
            Text(f"{host.errors:,}", style=_alarm(host.errors)),
        )
    return table


def _alarm(count: int) -> str:
    return "bold red" if count else ""


def _over(value: float | None, limit: float | None) -> str:
    return "bold red" if value is not None and limit is not None and value >= limit else ""

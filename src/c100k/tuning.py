"""What the hosts' kernels were set to, before they were tuned and at the end of the run."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from c100k.run_directory import RunDirectory


@dataclass(frozen=True)
class Tuned:
    """One key, and the hosts that have these values; `after` is unknown when the host did not say."""

    key: str
    before: str | None
    after: str | None
    hosts: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.before != self.after


def read(run: RunDirectory, hosts: Iterable[str]) -> list[Tuned]:
    """Every key whose value was recorded before it was set; hosts with the same values are taken together."""
    found: dict[tuple[str, str | None, str | None], list[str]] = {}
    for host in hosts:
        after = _after(run, host)
        for key, before in _before(run, host).items():
            found.setdefault((key, before, after.get(key)), []).append(host)
    return sorted((Tuned(*values, tuple(names)) for values, names in found.items()), key=lambda tuned: tuned.key)


def _before(run: RunDirectory, host: str) -> dict[str, str | None]:
    try:
        recorded = json.loads((run.host(host) / "sysctl-before.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return {key: None if value is None else _plain(value) for key, value in recorded["values"].items()}


def _after(run: RunDirectory, host: str) -> dict[str, str]:
    try:
        lines = (run.host(host) / "sysctl-after.txt").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {key.strip(): _plain(value) for key, equals, value in (line.partition("=") for line in lines) if equals}


def _plain(value: str) -> str:
    """Figures of one key are set apart by blanks in the one file, and by tabs in the other."""
    return " ".join(value.split())

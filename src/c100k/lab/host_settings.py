"""Settings of the host that every lab needs changed: set with the first lab, put back with the last."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from c100k.lab.lock import exclusive
from c100k.lab.state import write_atomically

# The record describes the running kernel, so it may vanish with a reboot.
RECORD_FOLDER = Path("/run/c100k")
PROC_SYS = Path("/proc/sys")
BOOT_ID = PROC_SYS / "kernel/random/boot_id"

WANTED = {
    # With br_netfilter, what one machine sends to another would pass the host's firewall and its connection table.
    "net/bridge/bridge-nf-call-iptables": "0",
    # In the host's own table, whoever counts the sockets of one machine would walk over those of all.
    "net/ipv4/tcp_child_ehash_entries": "131072",
    # With the usual 100 ms thirty real-time processes, of which each has a lot to do, wait a second for their turn.
    "kernel/sched_rr_timeslice_ms": "10",
}


@dataclass
class Record:
    """`labs`: lab name -> its bridge. `originals`: setting -> value before the first lab."""

    boot_id: str
    labs: dict[str, str] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)


def namespace_record() -> Path:
    """One record for all labs of a network namespace, to which the settings belong."""
    return RECORD_FOLDER / f"lab-host-{Path('/proc/self/ns/net').stat().st_ino}.json"


@dataclass(frozen=True)
class HostSettings:
    record: Path = field(default_factory=namespace_record)
    proc_sys: Path = PROC_SYS

    def acquire(self, lab: str, bridge: str) -> None:
        """Set what is wanted, after noting in the record who needs it and what it was before."""
        with exclusive(self._lock, _wait_silently, keep=self.record.exists):
            record = self._read()
            record.labs[lab] = bridge
            for setting in WANTED:
                original = self._get(setting)
                if original is not None:
                    record.originals.setdefault(setting, original)
            write_atomically(self.record, json.dumps(vars(record), indent=2))
            for setting, value in WANTED.items():
                self._set(setting, value)

    def release(self, lab: str, bridge_is_up: Callable[[str], bool]) -> None:
        """Put back what was changed unless another lab, whose bridge is up, still needs it."""
        if not self.record.exists():
            return
        with exclusive(self._lock, _wait_silently, keep=self.record.exists):
            record = self._read()
            record.labs = {name: bridge for name, bridge in record.labs.items() if name != lab and bridge_is_up(bridge)}
            if record.labs:
                write_atomically(self.record, json.dumps(vars(record), indent=2))
                return
            for setting, original in record.originals.items():
                # When it is no longer what we made it, someone else decided since.
                if self._get(setting) == WANTED.get(setting):
                    self._set(setting, original)
            self.record.unlink(missing_ok=True)
        try:
            self.record.parent.rmdir()
        except OSError:
            return  # another lab has just begun to use it

    @property
    def _lock(self) -> Path:
        return self.record.with_suffix(".lock")

    def _read(self) -> Record:
        boot_id = BOOT_ID.read_text().strip()
        try:
            record = Record(**json.loads(self.record.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return Record(boot_id)
        return record if record.boot_id == boot_id else Record(boot_id)

    def _get(self, setting: str) -> str | None:
        path = self.proc_sys / setting
        return path.read_text().strip() if path.exists() else None

    def _set(self, setting: str, value: str) -> None:
        if self._get(setting) not in (None, value):
            (self.proc_sys / setting).write_text(value)


def _wait_silently(_who: str) -> None:
    """The record is held for milliseconds: nothing worth a line."""

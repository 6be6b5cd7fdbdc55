"""Further source addresses of this host: added before a run, removed after it, whatever becomes of the run.

What was added is on record in `/run`, so that the next run removes it when this one was killed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from c100k_loadgen.errors import AddressError

#: One record a process, by its id.
_RECORDS = Path("/run/c100k-loadgen")

#: Nobody needs more: these have 100 million ports to each server.
_ADDRESSES_MOST = 4096


class _Record(msgspec.Struct, frozen=True):
    """What the process that `started` then, in ticks since boot, has added to a device, or is about to."""

    pid: int
    started: int
    device: str
    addresses: list[str]


def addresses_of(text: str) -> list[str]:
    """The addresses in a network, `10.0.0.0/28`, or the one that is written.

    Raises:
        AddressError: there are none, or too many.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise AddressError(f"--source: {error}; write a network, such as 10.0.0.0/28.") from None
    if network.num_addresses > _ADDRESSES_MOST:
        raise AddressError(
            f"--source: {text} has {network.num_addresses:,} addresses; {_ADDRESSES_MOST:,} are the most."
        )
    return [str(address) for address in network.hosts()]


@contextlib.contextmanager
def added(addresses: Sequence[str], device: str) -> Iterator[None]:
    """This host has the addresses, those that it had not on `device`, as long as this goes on.

    Raises:
        AddressError: they cannot be added.
    """
    had = _present()
    missing = [address for address in addresses if ipaddress.ip_address(address) not in had]
    record = _Record(os.getpid(), _started(os.getpid()) or 0, device, missing)
    path = _RECORDS / f"{record.pid}.json"
    # The run has handlers of its own; what comes before it and after it must not leave addresses behind.
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        _add(record, path)
        yield
    finally:
        _remove(record)
        path.unlink(missing_ok=True)
        signal.signal(signal.SIGTERM, before)


def _add(record: _Record, path: Path) -> None:
    """The record comes first, so that there is never more than it says."""
    try:
        _RECORDS.mkdir(mode=0o755, exist_ok=True)
        path.write_bytes(msgspec.json.encode(record))
    except PermissionError as error:
        raise AddressError(f"--add-addresses: {error.strerror}: {error.filename}; this takes root.") from None
    for address in record.addresses:
        _ip("add", address, record.device)


def remove_leftovers() -> None:
    """Remove what runs that were killed have left; only root can, and only root can have left something."""
    if os.geteuid() != 0:
        return
    for path in _RECORDS.glob("*.json"):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=_Record)
        except (OSError, msgspec.MsgspecError):
            continue  # another run has just removed it, or writes it now
        if _started(record.pid) != record.started:
            _remove(record)
            path.unlink(missing_ok=True)
            print(f"removed {len(record.addresses)} addresses that a run has left on {record.device}", file=sys.stderr)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _started(pid: int) -> int | None:
    """When a process was started, if it lives."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return None


def _present() -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    shown = subprocess.run(("ip", "-json", "address", "show"), capture_output=True, check=True)
    devices: list[dict[str, Any]] = json.loads(shown.stdout)
    return {ipaddress.ip_address(info["local"]) for device in devices for info in device["addr_info"]}


def _ip(verb: str, address: str, device: str) -> None:
    # Nobody else has these addresses, so there is no duplicate of IPv6 to be waited for.
    options = ("nodad",) if verb == "add" and ":" in address else ()
    made = subprocess.run(
        ("ip", "address", verb, f"{address}/{128 if ':' in address else 32}", "dev", device, *options),
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise AddressError(f"--add-addresses: {address} on {device}: {made.stderr.strip()}.")


def _remove(record: _Record) -> None:
    """What is not there, because it was not added yet, needs no removing."""
    for address in record.addresses:
        with contextlib.suppress(AddressError):
            _ip("delete", address, record.device)

"""`generator.json`: what the parent knows of the run, rewritten whole at each change."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Literal

import msgspec

from c100k_loadgen.phases import Phase
from c100k_loadgen.plan import Plan
from c100k_loadgen.version import VERSION

SCHEMA_VERSION = 1
FILE_NAME = "generator.json"

RunState = Literal["wait", "ramp", "settle", "hold", "stop", "verify", "done"]
StopReason = Literal["completed", "signal", "controller_vanished", "aborted", "deadline", "failed"]


class WorkerRecord(msgspec.Struct):
    """`exit_code` is null while the worker lives; `died_at` and `phase` are those of an end that was not meant."""

    index: int
    connections: int
    pid: int | None = None
    exit_code: int | None = None
    died_at: float | None = None
    phase: Phase | None = None


class KernelRecord(msgspec.Struct, kw_only=True):
    """Counters of the host's kernel before the run and after it, and whether a target is on the host."""

    target_here: bool
    before: dict[str, int]
    after: dict[str, int] | None = None

    @property
    def growth(self) -> dict[str, int]:
        return {name: count - self.before.get(name, 0) for name, count in (self.after or {}).items()}


class GeneratorRecord(msgspec.Struct, kw_only=True):
    schema_version: int = SCHEMA_VERSION
    run_id: str
    host: str
    plan: Plan
    state: RunState
    status_address: str
    started_at: float
    ended_at: float | None = None
    stop_reason: StopReason | None = None
    nofile: int
    workers: list[WorkerRecord]
    versions: dict[str, str]
    kernel: KernelRecord | None = None


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "uvloop": importlib.metadata.version("uvloop"),
        "c100k_loadgen": VERSION,
    }


def write(directory: Path, record: GeneratorRecord) -> None:
    temporary = directory / f".{FILE_NAME}.new"
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
    os.replace(temporary, directory / FILE_NAME)

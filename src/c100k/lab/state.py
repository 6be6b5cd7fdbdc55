"""What a lab was made with, written before any of it is made."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from c100k.lab.config import LabConfig
from c100k.lab.errors import LabChangedError

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class LabState:
    name: str
    subnet: str
    nodes: tuple[str, ...]
    image: str
    schema_version: int = SCHEMA_VERSION


def state_file(config: LabConfig) -> Path:
    return config.state_dir / "lab.json"


def read_state(config: LabConfig) -> LabState | None:
    """None when there is no record, or none that can be read: then what exists is found by its name."""
    try:
        raw = json.loads(state_file(config).read_text())
        state = LabState(**{**raw, "nodes": tuple(raw["nodes"])})
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return state if state.schema_version == SCHEMA_VERSION else None


def check_unchanged(config: LabConfig, state: LabState) -> None:
    """Raises LabChangedError when the lab exists with other addresses or nodes than asked for."""
    for what, recorded, asked in (
        ("subnet", state.subnet, config.subnet),
        ("nodes", ",".join(state.nodes), ",".join(config.nodes)),
    ):
        if recorded != asked:
            raise LabChangedError(config.name, f"{what} {recorded}", f"{what} {asked}")


def write_state(config: LabConfig, image: str) -> None:
    state = LabState(config.name, config.subnet, config.nodes, image)
    write_atomically(state_file(config), json.dumps(asdict(state), indent=2) + "\n")


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Whoever reads sees the old text or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.rename(path)


def write_if_changed(path: Path, text: str, mode: int = 0o644) -> None:
    """Leave a file alone that already says so."""
    if not path.exists() or path.is_symlink() or path.read_text() != text:
        path.unlink(missing_ok=True)
        write_atomically(path, text, mode)

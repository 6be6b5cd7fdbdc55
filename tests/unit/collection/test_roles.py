"""What the roles say about themselves must be true: every default is declared, and declared as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

COLLECTION = Path(__file__).resolve().parents[3] / "collections/ansible_collections/c100k/harness"
ROLES = sorted(path for path in (COLLECTION / "roles").iterdir() if path.is_dir())


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def _options(role: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for entry_point in _load(role / "meta/argument_specs.yml")["argument_specs"].values():
        found.update(entry_point["options"])
    return found


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_default_is_declared(role: Path) -> None:
    assert set(_load(role / "defaults/main.yml")) <= set(_options(role))


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_declared_default_is_the_real_one(role: Path) -> None:
    defaults = _load(role / "defaults/main.yml")

    for name, spec in _options(role).items():
        if "default" in spec:
            assert defaults[name] == spec["default"], name


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_variable_carries_the_name_of_its_role(role: Path) -> None:
    for name in _options(role):
        assert name.startswith(f"{role.name}_")


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_role_has_its_variables_checked_first(role: Path) -> None:
    first = {"variables": [], "c100k": ["c100k.harness.variables"]}
    dependencies = [entry["role"] for entry in _load(role / "meta/main.yml")["dependencies"]]

    assert dependencies[:1] == first.get(role.name, ["c100k.harness.c100k"])


def test_every_tunable_says_why() -> None:
    tunables = _load(COLLECTION / "roles/tune/defaults/main.yml")["tune_tunables"]

    keys = [tunable["key"] for tunable in tunables]
    assert len(set(keys)) == len(keys)
    for tunable in tunables:
        assert len(tunable["why"].split()) >= 5, tunable["key"]
        assert isinstance(tunable["value"], str)

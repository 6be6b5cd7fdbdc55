"""Loads plugins and scripts of the collection from their files, as Ansible does."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from ansible.plugins.loader import init_plugin_loader

COLLECTION = Path(__file__).resolve().parents[3] / "collections/ansible_collections/c100k/harness"
# Plugins import what they share by its name in the collection.
init_plugin_loader([str(COLLECTION.parents[2])])


@pytest.fixture(scope="session")
def collection() -> Path:
    """The root of the collection."""
    return COLLECTION


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Gives the Python file at a path in the collection as a module."""

    def load_file(path: str) -> ModuleType:
        file = COLLECTION / path
        spec = importlib.util.spec_from_file_location("c100k_collection_" + file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load_file

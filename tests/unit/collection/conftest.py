"""Loads plugins and scripts of the collection from their files, as Ansible does."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader

from ..controller.conftest import RawHost, RawRun
from . import ansible_programs
from .ansible_programs import ROOT
from .processes import running_prometheus

COLLECTION = ROOT / "collections/ansible_collections/c100k/harness"
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


class AdHoc:
    """Runs one module by `ansible` on the controller."""

    def __init__(self, home: Path) -> None:
        self.stdout = self.stderr = ""
        self._home = home

    def __call__(self, module: str, arguments: dict[str, Any], *options: str) -> dict[str, Any]:
        """Its result, with what it printed in `stdout` and `stderr`."""
        done = ansible_programs.run(
            "ansible",
            self._home,
            *("localhost", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"),
            *("-m", f"c100k.harness.{module}", "-a", json.dumps(arguments), *options),
            ANSIBLE_CALLBACK_RESULT_FORMAT="json",
        )
        self.stdout, self.stderr = done.stdout, done.stderr
        said, status, result = (done.stdout + done.stderr).partition(" => {")
        assert status, done.stdout + done.stderr
        found: dict[str, Any] = json.JSONDecoder().raw_decode("{" + result)[0]
        return {**found, "failed": said.endswith("FAILED!")}


@pytest.fixture
def ad_hoc(tmp_path: Path) -> AdHoc:
    return AdHoc(tmp_path)


@pytest.fixture
def raw_run(tmp_path: Path) -> RawRun:
    """A run of two hosts that would pass."""
    return RawRun(tmp_path / "runs", [RawHost("node1"), RawHost("node2")])


@pytest.fixture
def prometheus_url(tmp_path: Path) -> Iterator[str]:
    """A real Prometheus, which scrapes nothing and takes what is written to it."""
    with running_prometheus(tmp_path, "{}") as url:
        yield url

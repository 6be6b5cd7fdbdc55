"""The module `run_archive`: everything that one run left, with the paths of the run directory."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., dict[str, Any]]

RUN_ID = "20261123T101500Z-load"


@pytest.fixture
def run(collection: Path, tmp_path: Path) -> Run:
    """Runs the module on files below `tmp_path`."""

    def run_module(check: bool = False) -> dict[str, Any]:
        arguments = {
            "run_id": RUN_ID,
            "host": "node1",
            "runs": str(tmp_path / "runs"),
            "packages": str(tmp_path / "opt"),
            "record": str(tmp_path / "before.json"),
            "_ansible_check_mode": check,
        }
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(collection / "plugins/modules/run_archive.py")],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    return run_module


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """The folder of a run, as generator and sampler leave it."""
    folder = tmp_path / "runs" / RUN_ID
    folder.mkdir(parents=True)
    (folder / "kernel.csv").write_text("t,tcp_inuse\n")
    (folder / "node1-w0-hold.hlog").write_text("#[Histogram log format version 1.2]\n")
    (tmp_path / "before.json").write_text("{}")
    return folder


def test_the_archive_unpacks_into_the_run_directory(run: Run, left: Path, tmp_path: Path) -> None:
    result = run()

    assert result["changed"]
    (tmp_path / "collected").mkdir()
    subprocess.run(["tar", "-xzf", result["path"], "-C", tmp_path / "collected"], check=True)
    collected = tmp_path / "collected"
    assert sorted(result["files"]) == sorted(
        str(path.relative_to(collected)) for path in collected.rglob("*") if path.is_file()
    )
    assert (collected / "histograms/node1-w0-hold.hlog").read_text().startswith("#[Histogram")
    assert (collected / "hosts/node1/kernel.csv").read_text() == "t,tcp_inuse\n"
    assert (collected / "hosts/node1/sysctl-before.json").read_text() == "{}"
    assert "net.core.somaxconn = " in (collected / "hosts/node1/sysctl-after.txt").read_text()
    facts = json.loads((collected / "hosts/node1/facts.json").read_text())
    assert facts["cores"] >= 1
    assert facts["versions"]["python"].startswith("3.")


def test_versions_of_installed_packages_are_told(run: Run, left: Path, tmp_path: Path) -> None:
    release = tmp_path / "opt/server/0.1.0+abc"
    (release / "bin").mkdir(parents=True)
    (release / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (release / "bin/python").chmod(0o755)
    (tmp_path / "opt/server/current").symlink_to("0.1.0+abc")

    with tarfile.open(run()["path"]) as tar:
        member = tar.extractfile("hosts/node1/facts.json")
        assert member is not None
        versions = json.load(member)["versions"]
    assert versions["c100k-server"] == "0.1.0+abc"
    assert versions["pytest"] == pytest.__version__


def test_check_mode_packs_nothing(run: Run, left: Path) -> None:
    result = run(check=True)

    assert result["files"] == ["hosts/node1/kernel.csv", "histograms/node1-w0-hold.hlog"]
    assert not Path(result["path"]).exists()


def test_a_host_without_the_run_has_nothing_to_pack(run: Run) -> None:
    result = run()

    assert not result["changed"]
    assert result["path"] is None
    assert "no such folder" in result["missing"][0]

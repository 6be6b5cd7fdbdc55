"""The directory of one run: `runs/<UTC>-<scenario>/`, made before anything is measured and never overwritten."""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from c100k.errors import C100KError

_RUN_ID = re.compile(r"\d{8}T\d{6}Z-[a-z0-9-]+")


class RunDirectoryError(C100KError):
    """A run directory is missing, incomplete, or cannot be made."""


@dataclass(frozen=True)
class RunDirectory:
    """The files of one run: raw ones, fetched from the hosts, and those derived from them."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def plan(self) -> Path:
        return self.path / "plan.yml"

    @property
    def progress(self) -> Path:
        return self.path / "progress.csv"

    @property
    def progress_hosts(self) -> Path:
        return self.path / "progress-hosts.csv"

    @property
    def histograms(self) -> Path:
        return self.path / "histograms"

    @property
    def hosts(self) -> Path:
        return self.path / "hosts"

    def host(self, name: str) -> Path:
        return self.hosts / name

    @property
    def state(self) -> Path:
        return self.path / "state.json"

    @property
    def keys(self) -> Path:
        return self.path / "keys.json"

    @property
    def faults(self) -> Path:
        return self.path / "faults.jsonl"

    @property
    def formation(self) -> Path:
        return self.path / "formation.json"

    @property
    def routes(self) -> Path:
        return self.path / "routes.json"

    @property
    def watching(self) -> Path:
        return self.path / "watching.json"

    @property
    def warnings(self) -> Path:
        return self.path / "warnings.jsonl"

    @property
    def run_json(self) -> Path:
        return self.path / "run.json"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.csv"

    @property
    def timeline(self) -> Path:
        return self.path / "timeline.csv"

    @property
    def percentiles(self) -> Path:
        return self.path / "percentiles.csv"

    @property
    def searched(self) -> Path:
        return self.path / "searched.csv"

    @property
    def rates(self) -> Path:
        return self.path / "rates.csv"

    @property
    def junit(self) -> Path:
        return self.path / "junit.xml"

    @property
    def summary(self) -> Path:
        return self.path / "summary.txt"

    @property
    def markdown(self) -> Path:
        return self.path / "summary.md"

    @property
    def page(self) -> Path:
        return self.path / "report.html"

    def read_plan(self) -> dict[str, Any]:
        """What the run was asked to do.

        Raises:
            RunDirectoryError: when this is no run directory.
        """
        try:
            plan = yaml.safe_load(self.plan.read_text())
        except FileNotFoundError:
            raise RunDirectoryError(
                f"{self.path} has no plan.yml, so it is no run; name a directory below runs/."
            ) from None
        except yaml.YAMLError as error:
            raise RunDirectoryError(f"{self.plan} is not valid YAML: {error}") from None
        if not isinstance(plan, dict):
            raise RunDirectoryError(f"{self.plan} does not hold a plan; it must be a mapping.")
        return plan


def new_stamp(now: float | None = None) -> str:
    """The first half of a run id, `20261123T101500Z`; the second is the scenario."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def create(root: Path, run_id: str, plan: Mapping[str, Any]) -> RunDirectory:
    """Make the directory of a new run below `root`, write its plan and point `latest` to it.

    Raises:
        RunDirectoryError: when `run_id` is malformed or the directory cannot be made.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise RunDirectoryError(f"The run id {run_id!r} is not of the form 20261123T101500Z-load.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        run = RunDirectory(_new_directory(root, run_id))
        run.histograms.mkdir()
        run.hosts.mkdir()
        run.plan.write_text(yaml.safe_dump({"schema_version": 1, "run_id": run.run_id, **plan}, sort_keys=False))
        _point_latest(root, run.path)
    except OSError as error:
        raise RunDirectoryError(f"The run directory cannot be made in {root}: {error.strerror}.") from None
    return run


def _new_directory(root: Path, run_id: str) -> Path:
    for suffix in itertools.chain([""], (f"-{number}" for number in itertools.count(2))):
        path = root / f"{run_id}{suffix}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError("unreachable")


def _point_latest(root: Path, path: Path) -> None:
    link = root / f".latest-{path.name}"
    link.symlink_to(path.name)
    os.replace(link, root / "latest")

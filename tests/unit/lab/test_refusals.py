from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from c100k.lab import LabConfig, down, prepare, up
from c100k.lab.commands import require_tools, run
from c100k.lab.errors import CommandFailedError, DiskSpaceError, MissingToolsError, NotLinuxError, NotRootError
from c100k.lab.image import Recipe
from c100k.lab.preflight import check_disk
from c100k.lab.processes import ancestors, arguments, signal_if, users_of


@pytest.mark.parametrize("command", [up, down, prepare])
def test_only_linux(monkeypatch: pytest.MonkeyPatch, command: object) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotLinuxError, match="needs Linux and this is darwin"):
        command(LabConfig(), print)  # type: ignore[operator]


@pytest.mark.parametrize("command", [up, down, prepare])
def test_only_root(monkeypatch: pytest.MonkeyPatch, command: object) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(NotRootError, match="run the command again with sudo"):
        command(LabConfig(), print)  # type: ignore[operator]


def test_all_missing_tools_are_named_at_once_with_their_packages() -> None:
    with pytest.raises(MissingToolsError, match="apt-get install --yes one two") as refusal:
        require_tools({"no-such-tool-1": "two", "no-such-tool-2": "one", "no-such-tool-3": "two", "sh": "dash"})
    assert refusal.value.tools == ("no-such-tool-1", "no-such-tool-2", "no-such-tool-3")


def test_disk_needs_in_one_file_system_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = LabConfig(state_dir=tmp_path / "a/state", cache_dir=tmp_path / "b/cache")
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_300_000_000))
    check_disk(config, image_is_cached=True, lab_exists=False)
    check_disk(config, image_is_cached=False, lab_exists=True)
    with pytest.raises(DiskSpaceError, match=r"2\.4 GB under .* 1\.3 GB are free") as refusal:
        check_disk(config, image_is_cached=False, lab_exists=False)
    assert refusal.value.needed_bytes == 2_400_000_000


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(CommandFailedError, match="ended with status 3: why") as failure:
        run("sh", "-c", "echo why >&2; exit 3")
    assert failure.value.status == 3


def test_an_image_is_named_after_all_that_determines_it() -> None:
    recipe = Recipe("http://m.example/debian", "bookworm", "amd64")
    changes: list[dict[str, object]] = [
        {"mirror": "http://other.example/debian"},
        {"suite": "trixie"},
        {"architecture": "arm64"},
        {"packages": (*recipe.packages, "jq")},
        {"enabled_units": ()},
        {"disabled_units": ()},
        {"masked_units": ()},
        {"removed_paths": ()},
        {"version": recipe.version + 1},
    ]
    names = {recipe.name, *(replace(recipe, **change).name for change in changes)}  # type: ignore[arg-type]
    assert len(names) == len(changes) + 1
    assert recipe.name == Recipe("http://m.example/debian", "bookworm", "amd64").name


def test_a_signal_goes_only_to_the_process_that_is_meant() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        while not arguments(process.pid):
            pass  # still in its exec
        try:
            assert not signal_if(process.pid, lambda pid: arguments(pid) == ["sleep", "61"], signal.SIGKILL)
            assert process.poll() is None
            assert signal_if(process.pid, lambda pid: arguments(pid) == ["sleep", "60"], signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        finally:
            process.kill()
    assert not signal_if(process.pid, lambda _: True, signal.SIGKILL)


def test_ancestors_reach_the_first_process() -> None:
    assert os.getppid() in ancestors(os.getpid())
    assert os.getpid() not in ancestors(os.getpid())


def test_who_keeps_a_folder_busy(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path / "below") as process:
        found = users_of(tmp_path)
        process.kill()
    assert found == [process.pid]

from __future__ import annotations

import json
from pathlib import Path

import pytest

from c100k.lab.host_settings import HostSettings

SETTING = "net/bridge/bridge-nf-call-iptables"


@pytest.fixture
def settings(tmp_path: Path) -> HostSettings:
    """Over a folder in the shape of /proc/sys."""
    path = tmp_path / "sys" / SETTING
    path.parent.mkdir(parents=True)
    path.write_text("1\n")
    return HostSettings(record=tmp_path / "run/c100k/lab-host.json", proc_sys=tmp_path / "sys")


def value(settings: HostSettings) -> str:
    return (settings.proc_sys / SETTING).read_text().strip()


def test_the_last_lab_puts_back_what_the_first_one_changed(settings: HostSettings) -> None:
    settings.acquire("one", "one-br")
    settings.acquire("other", "other-br")
    assert value(settings) == "0"
    settings.release("one", lambda bridge: bridge == "other-br")
    assert value(settings) == "0"
    settings.release("other", lambda _: False)
    assert value(settings) == "1"
    assert not settings.record.parent.exists()


def test_a_second_acquire_does_not_take_our_own_value_for_the_original(settings: HostSettings) -> None:
    settings.acquire("one", "one-br")
    settings.acquire("one", "one-br")
    settings.release("one", lambda _: True)
    assert value(settings) == "1"


def test_a_lab_that_vanished_does_not_keep_the_setting(settings: HostSettings) -> None:
    settings.acquire("vanished", "vanished-br")
    settings.acquire("one", "one-br")
    settings.release("one", lambda _: False)
    assert value(settings) == "1"


def test_what_someone_else_set_meanwhile_is_left(settings: HostSettings) -> None:
    (settings.proc_sys / SETTING).write_text("0\n")
    settings.acquire("one", "one-br")
    (settings.proc_sys / SETTING).write_text("1\n")
    settings.release("one", lambda _: False)
    assert value(settings) == "1"


def test_killed_between_the_record_and_the_change(settings: HostSettings) -> None:
    settings.acquire("one", "one-br")
    (settings.proc_sys / SETTING).write_text("1\n")
    settings.release("one", lambda _: False)
    assert value(settings) == "1"
    assert not settings.record.exists()


def test_a_record_from_before_a_reboot_counts_for_nothing(settings: HostSettings) -> None:
    settings.acquire("one", "one-br")
    record = json.loads(settings.record.read_text())
    settings.record.write_text(json.dumps({**record, "boot_id": "another", "originals": {SETTING: "7"}}))
    (settings.proc_sys / SETTING).write_text("1\n")
    settings.acquire("two", "two-br")
    settings.release("two", lambda _: True)
    assert value(settings) == "1"


def test_a_kernel_without_the_setting(tmp_path: Path) -> None:
    settings = HostSettings(record=tmp_path / "run/c100k/lab-host.json", proc_sys=tmp_path / "sys")
    settings.acquire("one", "one-br")
    settings.release("one", lambda _: False)
    assert not settings.record.exists()
    assert not (tmp_path / "sys").exists()


def test_release_without_a_record_makes_nothing(settings: HostSettings) -> None:
    settings.release("one", lambda _: False)
    assert value(settings) == "1"
    assert not settings.record.parent.exists()

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""How processes are found on a host."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from ansible_collections.c100k.harness.plugins.modules import metrics_info


@pytest.fixture
def sleeper(tmp_path):
    """A process with a command line that no other has, once it sleeps."""
    program = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_process_is_found_by_number_and_by_command_line(sleeper, tmp_path):
    for pids, commands in (({sleeper.pid}, []), (set(), [f"{tmp_path}$"])):
        ((pid, command),) = metrics_info.wanted(pids, commands)
        assert pid == sleeper.pid
        assert command.endswith(str(tmp_path))


def test_those_who_ask_are_not_what_is_asked_for(sleeper):
    found = {pid for pid, _command in metrics_info.wanted(set(), ["."])}
    assert sleeper.pid in found
    assert not found & {os.getpid(), os.getppid()}


def test_what_a_process_costs(sleeper):
    cost = metrics_info.cost(sleeper.pid, "a command")
    assert cost["rss_bytes"] >= cost["pss_bytes"] > 0
    assert cost["threads"] == 1
    assert cost["open_files"] >= 3


def test_a_process_that_has_ended_costs_nothing(sleeper):
    sleeper.kill()
    sleeper.wait()
    assert metrics_info.cost(sleeper.pid, "a command") is None
    assert metrics_info.command_line(metrics_info.PROC / str(sleeper.pid)) == ""

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""How all processes of a host are ended at one moment."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.c100k.harness.plugins.modules import fault


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_the_processes_of_a_control_group_are_found(sleeper):
    groups = Path("/proc/self/cgroup").read_text().splitlines()
    assert {os.getpid(), sleeper.pid} <= set(fault.processes_in(groups[0].rpartition(":")[2]))
    assert fault.processes_in("/no/such/group") == []


def test_who_has_ended_has_no_threads_whether_it_was_asked_after_or_not(sleeper):
    assert fault.threads_of([sleeper.pid]) == [sleeper.pid]
    sleeper.kill()
    give_up = time.monotonic() + 10
    while fault.threads_of([sleeper.pid]):
        assert time.monotonic() < give_up
    sleeper.wait()
    assert fault.threads_of([sleeper.pid]) == []


def test_who_lives_on_runs_as_before(sleeper):
    try:
        os.sched_setscheduler(sleeper.pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        pytest.skip("real-time priority is not to be had here")
    os.sched_setscheduler(sleeper.pid, os.SCHED_BATCH, os.sched_param(0))
    with fault.at_once([sleeper.pid]):
        assert os.sched_getscheduler(sleeper.pid) == os.SCHED_FIFO
    assert os.sched_getscheduler(sleeper.pid) == os.SCHED_BATCH

# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""How a process is found again, and what is said of one that did not start."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from ansible_collections.c100k.harness.plugins.modules import prometheus_server


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_found_again_and_stopped(tmp_path, sleeper):
    file = tmp_path / "pid"
    prometheus_server.Process(file).remember(sleeper.pid)
    found = prometheus_server.Process(file)
    assert (found.pid, found.alive) == (sleeper.pid, True)

    found.stop()
    assert not found.alive
    assert sleeper.wait(10) < 0
    assert not file.exists()


def test_another_process_with_its_number_is_not_taken_for_it(tmp_path):
    file = tmp_path / "pid"
    file.write_text(json.dumps({"pid": os.getpid(), "started": "1"}))
    assert not prometheus_server.Process(file).alive


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"pid": "many", "started": 1}'])
def test_a_file_that_names_no_process_is_none(tmp_path, text):
    file = tmp_path / "pid"
    file.write_text(text)
    assert not prometheus_server.Process(file).alive


def test_a_port_that_is_taken_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert not prometheus_server.is_free(*taken.getsockname())
        port = taken.getsockname()[1]
    assert prometheus_server.is_free("127.0.0.1", port)


@pytest.mark.parametrize(
    ("log", "complaint"),
    [
        (
            "starting\nError parsing commandline arguments: x\nusage: prometheus\n",
            "Error parsing commandline arguments: x",
        ),
        ("starting\nstopped\n\n", "stopped"),
        ("", "it says nothing"),
    ],
)
def test_the_error_is_told_and_not_the_help_below_it(tmp_path, log, complaint):
    file = tmp_path / "log"
    file.write_text(log)
    assert prometheus_server.complaint(file) == complaint

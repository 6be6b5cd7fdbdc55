"""Real processes on loopback, which end with the test that needs them."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from c100k import prometheus

READY_LIMIT_S = 30


def free_address() -> str:
    """An address that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def running(command: Sequence[str], directory: Path, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at `url`."""
    with (directory / f"{Path(command[0]).name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
        try:
            wait_until(lambda: answers(url))
            yield process
        finally:
            process.terminate()
            process.wait(READY_LIMIT_S)


@contextmanager
def running_prometheus(directory: Path, configuration: str) -> Iterator[str]:
    """The URL of a Prometheus that takes what is written to it."""
    address = free_address()
    file = directory / "prometheus.yml"
    file.write_text(configuration)
    command = [
        prometheus.program("prometheus"),
        *(f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"),
        *(f"--web.listen-address={address}", "--web.enable-remote-write-receiver"),
    ]
    with running(command, directory, f"http://{address}/-/ready"):
        yield f"http://{address}"


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + READY_LIMIT_S
    while not condition():
        assert time.monotonic() < give_up_at, "it does not come to that"
        time.sleep(0.1)

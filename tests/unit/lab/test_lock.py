from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from c100k.lab import LabConfig, hold

# Holds the lab until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from c100k.lab import LabConfig, hold
with hold(LabConfig(name="t", state_dir=Path(sys.argv[1])), print):
    print("held", flush=True)
    sys.stdin.read()
"""
# Takes the lab, and says what it heard while it waited.
TAKER = """
import sys
from pathlib import Path
from c100k.lab import LabConfig, hold
with hold(LabConfig(name="t", state_dir=Path(sys.argv[1])), lambda line: print(line, flush=True)):
    print("taken", flush=True)
"""


def config_in(folder: Path) -> LabConfig:
    return LabConfig(name="t", state_dir=folder / "t")


@contextmanager
def python(program: str, config: LabConfig) -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", program, str(config.state_dir)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_waits_and_hears_who_holds_the_lab(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with python(HOLDER, config) as holder:
        assert read_line(holder) == "held"
        with python(TAKER, config) as taker:
            assert f"lab t is in use by pid {holder.pid} ({sys.executable}" in read_line(taker)
            assert holder.stdin is not None
            holder.stdin.close()
            assert read_line(taker) == "taken"


def test_a_killed_holder_leaves_the_lab_free(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with python(HOLDER, config) as holder:
        assert read_line(holder) == "held"
        holder.kill()
        holder.wait()
        heard: list[str] = []
        with hold(config, heard.append):
            assert heard == []


def test_a_process_that_holds_the_lab_may_take_it_again_and_so_may_its_children(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with hold(config, print), hold(config, print), python(TAKER, config) as child:
        assert read_line(child) == "taken"


def test_the_lock_file_goes_with_the_lab(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    with hold(config, print):
        config.state_dir.mkdir()
    assert (tmp_path / "t.lock").exists()
    with hold(config, print):
        config.state_dir.rmdir()
    assert not (tmp_path / "t.lock").exists()


COUNT_ALONE = """
import os, sys
from pathlib import Path
from c100k.lab.lock import exclusive
path, counter = Path(sys.argv[1]), Path(sys.argv[2])
for _ in range(10):
    with exclusive(path, lambda _who: None, keep=lambda: False):
        value = int(counter.read_text())
        os.sched_yield()
        counter.write_text(str(value + 1))
"""


def test_removing_the_lock_file_lets_no_two_in_at_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", COUNT_ALONE, str(tmp_path / "x.lock"), str(counter)]
    workers = [subprocess.Popen(command) for _ in range(3)]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    assert counter.read_text() == "30"

"""The benchmark on loopback, as `make benchmark-quick` starts it, in small."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from c100k import quick_benchmark
from c100k.run_directory import RunDirectory

CODES = {"PASS": 0, "FAIL": 1, "INVALID": 3}


def benchmark(runs: Path, *arguments: str, files: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "c100k", "benchmark", "quick", "--runs-dir", str(runs), *arguments]
    return subprocess.run(
        ["prlimit", f"--nofile={files}:{files}", *command], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], RunDirectory]:
    """A run that asks for more connections than there may be files."""
    runs = tmp_path_factory.mktemp("runs")
    done = benchmark(
        runs,
        *("--connections", "2000", "--rate", "200", "--duration", "3"),
        files=quick_benchmark.RESERVED_FILES + 100,
    )
    (directory,) = runs.iterdir()
    return done, RunDirectory(directory)


def test_the_figures_are_those_of_the_files(
    measured: tuple[subprocess.CompletedProcess[str], RunDirectory],
) -> None:
    done, directory = measured
    results = json.loads((directory.path / "results.json").read_text())
    assert results["messages"]["intended"] == 600
    assert f"messages answered  {results['messages']['answered']} of 600, " in done.stdout
    assert f"p95 {results['response_ms']['p95']:,.2f}" in done.stdout
    assert done.stdout.endswith(f"{quick_benchmark.table(directory)}\n")
    assert "unknown" not in done.stdout


def test_connections_are_bounded_by_the_file_limit_and_counted_at_both_ends(
    measured: tuple[subprocess.CompletedProcess[str], RunDirectory],
) -> None:
    done, _ = measured
    assert "connections held   100 of 100, by the server's count 100\n" in done.stdout


def test_the_exit_code_is_that_of_the_verdict(
    measured: tuple[subprocess.CompletedProcess[str], RunDirectory],
) -> None:
    done, directory = measured
    verdict = json.loads((directory.path / "results.json").read_text())["verdict"]
    assert f"\n{verdict}\n" in done.stdout
    assert done.returncode == CODES[verdict]


def test_a_limit_that_leaves_no_connection_is_refused(tmp_path: Path) -> None:
    done = benchmark(tmp_path, files=quick_benchmark.RESERVED_FILES)
    assert done.returncode == 2
    assert "raise the hard limit" in done.stderr


def test_a_server_that_does_not_start_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in ("python", "c100k-server", "c100k-loadgen"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'no server today' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(quick_benchmark.QuickBenchmarkError, match="c100k-server did not get ready: no server today"):
        quick_benchmark.run(quick_benchmark.QuickBenchmark(runs=tmp_path / "runs"))

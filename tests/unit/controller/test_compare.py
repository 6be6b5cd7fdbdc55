"""Runs against runs: what noise explains, what it does not, and what does not compare at all."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from c100k import cli, report
from c100k.confidence import student_t
from c100k.run_directory import RunDirectory

from .conftest import RawHost, RawRun
from .test_page import Page


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


class Store:
    """A run store, to which runs are added by how slow their answers were."""

    def __init__(self, root: Path) -> None:
        self.path = root / "store"
        self.path.mkdir()
        self._scratch = (root / f"scratch-{number}" for number in itertools.count())
        self._stamps: Iterator[str] = (f"20261118T1100{second:02}Z-load" for second in range(60))

    def add(self, response_ms: float = 2.0, unanswered: int = 0, **settings: Any) -> str:
        """A run that was judged; its id."""
        hosts = [
            RawHost(name, response_us=[round(response_ms * 1000)] * 50, unanswered=unanswered)
            for name in ("node1", "node2")
        ]
        raw = RawRun(next(self._scratch), hosts)
        raw.settings.update(settings)
        run = raw.write()
        kept = self.path / next(self._stamps)
        shutil.move(run.path, kept)
        report.write(RunDirectory(kept))
        return kept.name

    def compare(self, baseline: Sequence[str], candidate: Sequence[str], *options: str) -> int:
        sides = ["--baseline", *baseline, "--candidate", *candidate]
        return cli.main(["compare", *sides, "--runs-dir", str(self.path), *options])


def line(shown: str, name: str) -> str:
    return next(line for line in shown.splitlines() if line.startswith(name))


@pytest.mark.parametrize(("freedom", "factor"), [(1, 12.706), (2, 4.303), (4, 2.776), (7, 2.365), (30, 2.042)])
def test_students_factors_are_the_published_ones(freedom: int, factor: float) -> None:
    assert student_t(freedom) == pytest.approx(factor, abs=5e-4)


def test_a_regression_beyond_the_noise_fails(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = [store.add(response_ms) for response_ms in (2.0, 2.1, 1.9)]
    candidate = [store.add(response_ms) for response_ms in (3.0, 3.2, 2.9)]
    assert store.compare(baseline, candidate) == 1
    shown = capsys.readouterr().out
    assert line(shown, "p95 latency").endswith("worse")
    assert "FAIL: worse than the baseline (3 runs against 3 runs of the baseline)" in shown
    assert "  - p95 latency: +51.7%, beyond what noise explains" in shown


def test_the_same_change_within_the_noise_is_not_claimed(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = [store.add(response_ms) for response_ms in (1.0, 2.0, 4.0)]
    candidate = [store.add(response_ms) for response_ms in (1.5, 3.0, 6.0)]
    assert store.compare(baseline, candidate) == 3
    shown = capsys.readouterr().out
    assert "+50.0%" in line(shown, "p95 latency")
    assert line(shown, "p95 latency").endswith("unclear")
    assert "INVALID: the runs do not tell" in shown


def test_runs_that_do_not_differ_pass(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    baseline, candidate = ([store.add(response_ms) for response_ms in (2.0, 2.02, 1.98)] for _ in range(2))
    assert store.compare(baseline, candidate) == 0
    shown = capsys.readouterr().out
    assert "PASS: nothing is noticeably worse" in shown
    assert {row.split()[-1] for row in shown.splitlines()[1:9]} == {"same"}


def test_an_improvement_passes_and_is_named(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = [store.add(response_ms) for response_ms in (3.0, 3.1)]
    candidate = [store.add(response_ms) for response_ms in (2.0, 2.05)]
    assert store.compare(baseline, candidate) == 0
    assert line(capsys.readouterr().out, "p50 latency").endswith("better")


def test_a_change_too_small_to_mind_is_none_however_sure_it_is(store: Store) -> None:
    baseline = [store.add(2.0) for _ in range(3)]
    candidate = [store.add(2.5) for _ in range(3)]
    assert store.compare(baseline, candidate) == 1
    assert store.compare(baseline, candidate, "--noticeable", "30") == 0


def test_errors_count_by_their_difference_also_from_none(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = [store.add() for _ in range(3)]
    candidate = [store.add(unanswered=unanswered) for unanswered in (4, 5, 6)]
    assert store.compare(baseline, candidate) == 1
    assert "error rate: +1%, beyond what noise explains" in capsys.readouterr().out


def test_one_run_a_side_tells_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Given by their paths, in the short form."""
    runs = [str(store.path / store.add(response_ms)) for response_ms in (2.0, 8.0)]
    assert cli.main(["compare", *runs]) == 3
    shown = capsys.readouterr().out
    assert "+300.1%" in line(shown, "p95 latency")
    assert shown.splitlines()[-1] == "  - one run a side does not tell a change from noise; give several"


def test_one_new_run_against_several_old_ones_is_enough(store: Store) -> None:
    baseline = [store.add(response_ms) for response_ms in (2.0, 2.05, 1.95, 2.02)]
    assert store.compare(baseline, [store.add(4.0)]) == 1
    assert store.compare(baseline, [store.add(2.01)]) == 0


def test_an_invalid_run_claims_nothing(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [store.add() for _ in range(4)]
    for log in (store.path / runs[0]).glob("hosts/*/generator.json"):
        log.unlink()
    assert cli.main(["report", str(store.path / runs[0])]) == 3
    capsys.readouterr()
    assert store.compare(runs[:2], runs[2:]) == 3
    assert f"{runs[0]} is INVALID itself" in capsys.readouterr().out


def test_runs_of_another_load_do_not_compare(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [store.add(c100k_payload_bytes=size) for size in (100, 200)]
    assert store.compare(runs[:1], runs[1:]) == 2
    assert capsys.readouterr().err == (
        f"c100k: {runs[0]} and {runs[1]} do not compare: c100k_payload_bytes is 100 in the one and 200 in the other.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Name two runs, A and B"),
        (["{run}"], "Name two runs, A and B"),
        (["{run}", "--candidate", "{run}"], "Name two runs, A and B"),
        (["{run}", "--baseline", "{run}"], "Name two runs, A and B"),
        (["{run}", "{run}"], "is given twice"),
        (["{run}", "gone"], "There is no run 'gone', neither as a path nor in"),
    ],
)
def test_what_is_no_comparison_is_refused_in_a_sentence(
    store: Store, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = store.add()
    words = [argument.format(run=run) for argument in arguments]
    assert cli.main(["compare", *words, "--runs-dir", str(store.path)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert len(error.splitlines()) == 1


def test_a_run_that_was_not_judged_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [store.add(), store.add()]
    (store.path / runs[1] / "run.json").unlink()
    assert store.compare(runs[:1], runs[1:]) == 2
    assert "has no run.json; judge it first: c100k report" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["0", "-5", "much"])
def test_a_noticeable_change_is_a_percentage(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "a", "b", "--noticeable", given])
    assert ended.value.code == 2
    assert f"'{given}' is no percentage above 0" in capsys.readouterr().err


def test_the_page_says_the_same(store: Store, tmp_path: Path) -> None:
    baseline = [store.add(response_ms) for response_ms in (2.0, 2.1, 1.9)]
    candidate = [store.add(response_ms) for response_ms in (3.0, 3.2, 2.9)]
    path = tmp_path / "compare.html"
    assert store.compare(baseline, candidate, "--html", str(path)) == 1
    page = Page(path.read_text())
    assert page.texts["h1"] == ["FAIL worse than the baseline (3 runs against 3 runs of the baseline)"]
    row = page.row("p95 latency")
    assert tuple(row[1:5]) == ("1.999 ms", "3.032 ms", "+51.7%", "worse")
    assert "p95 latency: +51.7%, beyond what noise explains" in page.texts["li"]
    assert [row[:2] for row in page.rows if row[0] in ("baseline", "candidate")] == [
        *(["baseline", run] for run in baseline),
        *(["candidate", run] for run in candidate),
    ]
    sizes = 2
    assert len(page.marks("line candidate")) == len(candidate) * sizes


def test_a_page_that_cannot_be_written_is_said(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [store.add(), store.add()]
    assert store.compare(runs[:1], runs[1:], "--html", str(store.path / "gone" / "x.html")) == 2
    assert "x.html cannot be written: No such file or directory." in capsys.readouterr().err


def test_the_store_is_listed_newest_first(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [store.add(2.0), store.add(150.0), store.add(), store.add()]
    (store.path / runs[2] / "run.json").unlink()
    (store.path / runs[3] / "run.json").write_text("{}")
    (store.path / "latest").symlink_to(runs[3])
    (store.path / "notes").mkdir()
    assert cli.main(["runs", "--runs-dir", str(store.path)]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == runs[::-1]
    assert lines[0].endswith("judged by another version; c100k report judges it anew")
    assert lines[1].endswith("not judged; c100k report judges it")
    assert lines[2].split()[1:6] == ["FAIL", "200", "200", "10", "s"]
    assert lines[3].split()[1] == "PASS"


def test_a_list_that_nobody_reads_to_its_end_ends_in_silence(store: Store) -> None:
    store.add()
    reader, writer = os.pipe()
    os.close(reader)
    words = [sys.executable, "-m", "c100k", "runs", "--runs-dir", str(store.path)]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_store_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "--runs-dir", str(tmp_path / "gone")]) == 2
    assert "There is no run store" in capsys.readouterr().err

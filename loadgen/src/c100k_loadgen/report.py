"""A run told in every form: text for people, JSON, JUnit's XML for what builds and tests, a page to pass on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from c100k_loadgen import junit, report_page, summary
from c100k_loadgen.errors import OutputFileError
from c100k_loadgen.results import read_results
from c100k_loadgen.thresholds import DEFAULT, Judgement, judge, parse


class Outputs(NamedTuple):
    """The files to be written, each if it is named."""

    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None

    def check(self) -> None:
        """Raises `OutputFileError` for a file that cannot be written, before there is anything to be lost."""
        for path in filter(None, self):
            folder = path.parent
            if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
                reason = "it is a directory" if path.is_dir() else f"{folder} is no directory that can be written to"
                raise OutputFileError(f"{path}: no results can be written there: {reason}.")


def report(directory: Path, thresholds: Sequence[str], outputs: Outputs) -> tuple[str, Judgement]:
    """Judge the run in `directory` and write what was asked for; returns the summary and the verdict.

    Raises:
        ResultsError: there is no run.
        ThresholdError: one of the thresholds is none.
    """
    results = read_results(directory)
    judgement = judge(results, [parse(text) for text in thresholds or DEFAULT])
    if outputs.json is not None:
        whole = {**msgspec.to_builtins(results), **msgspec.to_builtins(judgement)}
        outputs.json.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n")
    if outputs.junit is not None:
        outputs.junit.write_bytes(junit.document(results, judgement))
    if outputs.html is not None:
        outputs.html.write_text(report_page.page(results, judgement), encoding="utf-8")
    return summary.text(results, judgement), judgement

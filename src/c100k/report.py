"""Judge a run directory and write what is derived from its raw files: `run.json`, `junit.xml`, the summaries, and
`report.html`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from c100k import junit, metric_list, page, rates, run_warnings, summary
from c100k.rate_search import CONFIRM
from c100k.record import Run
from c100k.run_directory import RunDirectory, RunDirectoryError
from c100k.verdict import judge


def write(run: RunDirectory) -> Run:
    """Judge `run` and write its derived files anew; the raw files are only read.

    Raises:
        RunDirectoryError: when this is no run directory.
        RuleError: when a rule in its plan is malformed.
    """
    judged = judge(run)
    rates.derive(run, judged)
    _tell(run, judged)
    return judged


def warn(run: RunDirectory, message: str) -> None:
    """Keep a warning with the run, and tell it wherever the run was told already.

    Raises:
        RunDirectoryError: it was judged by another version.
    """
    run_warnings.add(run, message)
    if run.run_json.exists():
        _tell(run, msgspec.structs.replace(read(run.path), warnings=run_warnings.read(run)))


def _tell(run: RunDirectory, judged: Run) -> None:
    run.run_json.write_bytes(msgspec.json.format(msgspec.json.encode(judged), indent=2) + b"\n")
    run.junit.write_bytes(junit.document(judged))
    metrics = f"{metric_list.text(judged, run)}\n\n" if judged.scenario == CONFIRM else ""
    run.summary.write_text(f"{metrics}{summary.text(judged)}\n")
    run.markdown.write_text(page.markdown(judged))
    run.page.write_text(page.html(judged, run))


def read(path: Path) -> Run:
    """A run that was judged before.

    Raises:
        RunDirectoryError: when there is no `run.json`, or it is not of this version.
    """
    try:
        return msgspec.json.decode(RunDirectory(path).run_json.read_bytes(), type=Run)
    except FileNotFoundError:
        raise RunDirectoryError(f"{path} has no run.json; judge it first: c100k report {path}") from None
    except msgspec.DecodeError as error:
        raise RunDirectoryError(
            f"{path}/run.json is not of this version ({error}); judge it anew: c100k report {path}"
        ) from None

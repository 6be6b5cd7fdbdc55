"""What went wrong beside a run: a back end for metrics that was down or slow. It is told, and never judged."""

from __future__ import annotations

import json
import time

from c100k.run_directory import RunDirectory


def add(run: RunDirectory, message: str) -> None:
    """Keep a sentence with the run."""
    with run.warnings.open("a") as handle:
        handle.write(json.dumps({"at": time.time(), "message": message}) + "\n")


def read(run: RunDirectory) -> list[str]:
    """All sentences in their order, each once."""
    if not run.warnings.exists():
        return []
    lines = (line for line in run.warnings.read_text().splitlines(keepends=True) if line.endswith("\n"))
    return list(dict.fromkeys(json.loads(line)["message"] for line in lines))

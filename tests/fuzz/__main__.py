"""`python -m fuzz SECONDS DIRECTORY [TARGET]...`: fuzz each input door for so long, and say what came of it.

Exits with 1 when there are findings, of this run or of one before, in `DIRECTORY/findings`.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

NAMES = ("tcp", "http", "stdio", "parsers")


def main() -> int:
    seconds, directory, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or NAMES
    directory.mkdir(parents=True, exist_ok=True)
    print(f"{'target':<10}{'executions':>12}{'CPU s':>8}{'edges':>8}{'peak MiB':>10}  findings", flush=True)
    findings: list[Path] = []
    for name in names:
        log = directory / f"{name}.log"
        spent = -_children_cpu_s()
        with log.open("w") as output:
            command = [sys.executable, "-m", "fuzz.one_target", name, seconds, str(directory)]
            ended = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False)
        spent += _children_cpu_s()
        text = log.read_text(errors="replace")
        executions, peak = (
            _last(rf"stat::{figure}: +(\d+)", text) for figure in ("number_of_executed_units", "peak_rss_mb")
        )
        edges = _last(r" cov: (\d+)", text)
        # The .txt beside an input says what is wrong with it.
        found = [path for path in (directory / "findings" / name).glob("*") if path.suffix != ".txt"]
        print(f"{name:<10}{executions:>12}{spent:>8.0f}{edges:>8}{peak:>10}  {len(found)}", flush=True)
        if ended.returncode and not found:
            print(f"{name} ended with {ended.returncode}; see {log}")
            return 1
        findings += found
    for path in findings:
        print(path)
    return 1 if findings else 0


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _last(pattern: str, text: str) -> str:
    return next(iter(re.findall(pattern, text)[-1:]), "-")


sys.exit(main())

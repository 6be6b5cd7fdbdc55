"""Reading what the workers of one host have written: rows of counts, and logs of histograms."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from hdrh.histogram import HdrHistogram

from c100k_loadgen.causes import Kind
from c100k_loadgen.phases import Phase
from c100k_loadgen.recorder import DIGITS, HIGHEST_US, LOWEST_US

Row = dict[str, str]


def merged(encoded: list[str]) -> HdrHistogram:
    """Histograms as one: their counts are added."""
    whole = HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)
    for each in encoded:
        whole.decode_and_add(each)
    return whole


class RawFiles:
    """The files in `directory`, all workers together. A last line that a crash cut short is left out."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Runs from before plans could close connections have no column of those.
        self._seconds = [{"reopening": "0", **row} for row in self._rows("seconds")]
        self._causes = list(self._rows("causes"))
        self._said = list(self._rows("said"))
        self._calls = list(self._rows("calls"))
        self._intervals: defaultdict[tuple[str, str], defaultdict[int, list[str]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for path in sorted(directory.glob("*.hlog")):
            self._read_log(path)

    def _rows(self, name: str) -> Iterator[Row]:
        for path in sorted(self._directory.glob(f"*-{name}.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                yield from (row for row in csv.DictReader(file) if None not in row.values())

    def _read_log(self, path: Path) -> None:
        phase = path.stem.rpartition("-")[2]
        with path.open(encoding="ascii") as log:
            for line in log:
                if line.startswith("Tag=") and line.endswith("\n"):
                    tag, t, _, _, encoded = line.rstrip("\n").split(",", 4)
                    self._intervals[phase, tag.removeprefix("Tag=")][int(float(t))].append(encoded)

    def histogram(self, phase: Phase, tag: str) -> HdrHistogram:
        """All that was measured under `tag` of messages intended in `phase`."""
        return merged([each for encoded in self._intervals[phase, tag].values() for each in encoded])

    def histogram_of(self, t: int, tag: str) -> HdrHistogram:
        """What was measured in the second from `t`, whatever phase the messages were intended in."""
        phases: tuple[Phase, ...] = ("settle", "hold")
        return merged([each for phase in phases for each in self._intervals[phase, tag].get(t, [])])

    def seconds(self) -> dict[int, list[Row]]:
        """The rows of each second, oldest first."""
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for row in self._seconds:
            found[int(row["t"])].append(row)
        return dict(sorted(found.items()))

    def rows(self, phase: Phase) -> list[Row]:
        """The rows of all seconds of a phase."""
        return [row for row in self._seconds if row["phase"] == phase]

    def sent_of(self, call: str) -> int:
        """How many messages of the hold were that call of a mix."""
        return sum(int(row["sent"]) for row in self._calls if row["call"] == call)

    def said(self) -> dict[str, int]:
        """How often servers said what when they refused something."""
        counts: Counter[str] = Counter()
        for row in self._said:
            counts[row["words"]] += int(row["count"])
        return dict(counts)

    def rows_of(self, name: str) -> list[Row]:
        """The rows of a kind of file that few runs have, such as `pings`."""
        return list(self._rows(name))

    def sum_of(self, name: str, column: str) -> int:
        """The sum of a column of such files."""
        return sum(int(row[column]) for row in self._rows(name))

    def causes(self, kind: Kind, phase: Phase | None = None) -> dict[str, int]:
        """How often each cause was counted, the most frequent first; in all phases, or in one."""
        counts: Counter[str] = Counter()
        for row in self._causes:
            if row["kind"] == kind and phase in (None, row["phase"]):
                counts[row["cause"]] += int(row["count"])
        return dict(counts.most_common())

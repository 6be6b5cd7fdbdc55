"""The calls of a mix, each by itself: what was sent of it in the hold, and how soon it was answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from c100k.distribution import Distribution
from c100k.raw_csv import complete_rows
from c100k.record import Call
from c100k.run_directory import RunDirectory
from c100k.samples import HostSamples

#: The logs of each call, by the beginning of their tag.
_TAG = "call."


def sent(run: RunDirectory, hosts: Iterable[HostSamples]) -> Counter[str]:
    """How many messages of the hold were each call; generators count them where there are several."""
    counts: Counter[str] = Counter()
    for host in hosts:
        for path in sorted(run.host(host.name).glob("*-calls.csv")):
            for row in complete_rows(path):
                counts[row["call"]] += int(row["sent"])
    return counts


def distributions(names: Iterable[str]) -> dict[str, Distribution]:
    """An empty one for the log of each call, by its tag."""
    return {_TAG + name: Distribution() for name in names}


def judge(counts: Mapping[str, int], logs: Mapping[str, Distribution]) -> list[Call]:
    """Each call, the most frequent first. `logs` are the `distributions`, filled."""
    found = []
    for name, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])):
        latency = logs[_TAG + name].percentiles()
        found.append(Call(name, count, latency.samples, latency))
    return found

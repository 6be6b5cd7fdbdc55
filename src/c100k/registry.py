"""The registry under load: whether every name leads to its session, and what look-ups take, at the servers and beyond.

Whether an answer was right was decided by the generator that knows the owner of the name; it is counted here, from the
generators' causes and from the look-up of every name after the hold.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from c100k.distribution import Distribution
from c100k.raw_csv import complete_rows
from c100k.record import Lookups, Registry
from c100k.run_directory import RunDirectory, RunDirectoryError
from c100k.samples import HostSamples

#: The kinds of messages about names, as the generators' logs tag them.
FINDS = ("find_local", "find_remote")
KINDS = (*FINDS, "update", "cycle")
#: Registrations are of the ramp, all else is of the hold.
REGISTER = "register"
STALE = "stale"
#: What is merged of all look-ups.
FIND = "find"
TAGS = (*KINDS, STALE, REGISTER, FIND)

#: Where servers find answers, as their metrics name it.
SOURCES = ("own", "cache", "redis")

_LABELS = ("t", "worker", "source")
_INFINITE = "+Inf"

Row = Mapping[str, str]


class StoredKeys(msgspec.Struct, frozen=True):
    """An entry of `keys.json`: the keys of all masters that begin with `prefix`, and what they take."""

    prefix: str
    keys: int
    bytes: int


class _Names:
    """What the look-up of all names at the end came to."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.right = set[str]()
        self.wrong = self.missing = self.unanswered = 0
        for row in rows:
            if row["outcome"] == "unanswered":
                self.unanswered += 1
            elif row["outcome"] == "missing":
                self.missing += 1
            elif _leads_home(row):
                self.right.add(row["name"])
            else:
                self.wrong += 1


class _Contest:
    """What became of the names that all wanted at once. One owner each, and all must find that one."""

    def __init__(self, rows: Iterable[Row]) -> None:
        attempts: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            attempts[row["name"]].append(row)
        self.names = len(attempts)
        self.attempts = sum(map(len, attempts.values()))
        self.duplicates = self.unowned = self.wrong = 0
        for each in attempts.values():
            winners = {row["session"] for row in each if row["outcome"] == "won"}
            self.duplicates += max(0, len(winners) - 1)
            self.unowned += not winners
            self.wrong += sum(bool(row["found"]) and row["found"] not in winners for row in each)


def judge(
    run: RunDirectory, hosts: Sequence[HostSamples], hold: range, times: Mapping[str, Distribution]
) -> Registry | None:
    """All of it; nothing for a run without names. `times` are all values by tag.

    Raises:
        RunDirectoryError: when the record of the keys is malformed.
    """
    rows = list(_rows(run, "names"))
    planned = sum(host.plan["connections"] for host in hosts if host.plan.get("registry"))
    if not planned:
        return None
    names, contest = _Names(rows), _Contest(_rows(run, "contest"))
    mistakes = _mistakes(hosts)
    by_source, every = _lookups(run, hosts, hold)
    find_ms = times[FIND].percentiles()
    stored = _stored(run)
    return Registry(
        keys=len(names.right),
        lookups=every.lookups,
        mean_us=every.mean_us,
        p50_us=every.p50_us,
        p99_us=every.p99_us,
        own=by_source["own"],
        cache=by_source["cache"],
        redis=by_source["redis"],
        finds_per_s=find_ms.samples / len(hold) if hold else None,
        find_ms=find_ms,
        find_local_ms=times["find_local"].percentiles(),
        find_remote_ms=times["find_remote"].percentiles(),
        update_ms=times["update"].percentiles(),
        cycle_ms=times["cycle"].percentiles(),
        register_ms=times[REGISTER].percentiles(),
        stale_ms=times[STALE].percentiles(),
        wrong=mistakes["wrong"] + names.wrong + contest.wrong,
        lost=mistakes["lost"] + names.missing + contest.unowned,
        duplicates=mistakes["taken"] + contest.duplicates,
        unverified=planned - len(rows) + names.unanswered,
        contested=contest.names,
        contest_attempts=contest.attempts,
        stored_keys=stored[0].keys if stored else None,
        bytes_per_key=sum(each.bytes for each in stored) / stored[0].keys if stored and stored[0].keys else None,
    )


def _mistakes(hosts: Iterable[HostSamples]) -> Counter[str]:
    """Answers that were `wrong`, `lost` or `taken`, of all kinds of messages about names."""
    counts: Counter[str] = Counter()
    for cause in (cause for host in hosts for cause in host.causes if cause.kind == "message_error"):
        what, _, kind = cause.cause.partition("_")
        if kind in (*KINDS, "node"):
            counts[what] += cause.count
    return counts


def _rows(run: RunDirectory, name: str) -> Iterator[Row]:
    for path in sorted(run.hosts.glob(f"*/*-{name}.csv")):
        yield from complete_rows(path)


def _leads_home(row: Row) -> bool:
    """Whether the name led to its session, at the node of its target, with what that registered last."""
    owner, _, version = row["found_value"].rpartition("#")
    if owner != row["name"] or row["found_node"] != row["node"] or not version.isdecimal():
        return False
    return int(row["acked"]) <= int(version) <= int(row["version"])


def _lookups(run: RunDirectory, hosts: Iterable[HostSamples], hold: range) -> tuple[dict[str, Lookups], Lookups]:
    """What servers looked up in the hold, by source and in all, as the growth of their own histograms."""
    growth: dict[str, Counter[str]] = {source: Counter() for source in SOURCES}
    for host in hosts:
        last: dict[tuple[str, str], dict[str, float]] = {}
        for row in complete_rows(run.host(host.name) / "lookups.csv"):
            key = row["worker"], row["source"]
            figures = {column: float(cell) for column, cell in row.items() if column not in _LABELS}
            before = last.get(key, {})
            last[key] = figures
            if int(row["t"]) <= hold.start or int(row["t"]) > hold.stop or row["source"] not in growth:
                continue
            if before and figures[_INFINITE] < before[_INFINITE]:
                before = {}  # another life of the server, which counts from nothing
            growth[row["source"]].update({column: figures[column] - before.get(column, 0.0) for column in figures})
    total: Counter[str] = Counter()
    for each in growth.values():
        total.update(each)
    return {source: _summed_up(each) for source, each in growth.items()}, _summed_up(total)


def _summed_up(growth: Mapping[str, float]) -> Lookups:
    """A histogram in the counts of Prometheus: how many took no longer than each bound."""
    lookups = round(growth.get(_INFINITE, 0))
    if not lookups:
        return Lookups(lookups=0, mean_us=None, p50_us=None, p99_us=None)
    bounds = sorted((float(column.replace(_INFINITE, "inf")), column) for column in growth if column != "seconds")

    def percentile(share: float) -> float | None:
        bound = next(bound for bound, column in bounds if growth[column] >= share * lookups)
        return bound * 1e6 if math.isfinite(bound) else None

    return Lookups(
        lookups=lookups, mean_us=growth["seconds"] / lookups * 1e6, p50_us=percentile(0.5), p99_us=percentile(0.99)
    )


def _stored(run: RunDirectory) -> list[StoredKeys]:
    """What Redis keeps for names: first the names themselves, then their index."""
    try:
        return msgspec.json.decode(run.keys.read_bytes(), type=list[StoredKeys])
    except FileNotFoundError:
        return []
    except msgspec.DecodeError as error:
        raise RunDirectoryError(f"{run.keys} is malformed: {error}.") from None

"""What became of the connections that a plan has closed on purpose."""

from __future__ import annotations

import msgspec

from c100k_loadgen.causes import Planned
from c100k_loadgen.distribution import Distribution
from c100k_loadgen.raw_files import RawFiles


class Churned(msgspec.Struct, frozen=True):
    """Connections that were closed in their turn, those that were `back` by the end of the hold, attempts that
    `failed`, and of these those that were `refused`. `connect_ms` is what the attempts that succeeded took, with
    their handshakes."""

    closed: int
    back: int
    failed: int
    refused: int
    connect_ms: Distribution


class Stormed(msgspec.Struct, frozen=True):
    """The same of a reconnect storm. `all_back_s` is how long after it broke out the last connection was open; null
    when some did not come back."""

    closed: int
    back: int
    all_back_s: float | None
    failed: int
    refused: int
    connect_ms: Distribution


def churned(raw: RawFiles) -> Churned:
    counts, _ = _counts(raw, "churn")
    return Churned(*counts, connect_ms=Distribution.of(raw.histogram("hold", "churn_connect")))


def stormed(raw: RawFiles) -> Stormed:
    (closed, back, failed, refused), took_s = _counts(raw, "storm")
    connect_ms = Distribution.of(raw.histogram("hold", "storm_connect"))
    return Stormed(closed, back, took_s if back == closed else None, failed, refused, connect_ms)


def _counts(raw: RawFiles, why: Planned) -> tuple[tuple[int, int, int, int], float | None]:
    """Closed, back, failed and refused; and the time from the first close to the last return."""
    rows = [row for row in raw.rows_of("reopenings") if row["why"] == why]
    opened = [float(row["opened_at"]) for row in rows if row["opened_at"]]
    failed, refused = (sum(int(row[name]) for row in rows) for name in ("failed", "refused"))
    took_s = round(max(opened) - min(float(row["closed_at"]) for row in rows), 3) if opened else None
    return (len(rows), len(opened), failed, refused), took_s

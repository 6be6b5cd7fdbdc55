"""Figures as people read them: with a unit, and `unknown` for what was not measured."""

from __future__ import annotations

import time

from c100k.rules import format_number


def quantity(metric: str, value: float | None) -> str:
    """The figure `metric` of a run with the unit that its name tells: bytes, a share, milliseconds or seconds."""
    if value is None:
        return "unknown"
    if metric.endswith("_bytes"):
        return kib(value) if metric.endswith("per_connection_bytes") else mib(value)
    if metric.endswith(("error_rate", "_share", "coverage")):
        return f"{value * 100:.4g}%"
    parts = metric.split(".")
    if any(part.endswith("per_s") for part in parts):
        return f"{format_number(value)}/s"
    if metric.endswith("cpu_us_per_message"):
        return f"{format_number(value)} µs"
    unit = next((f" {unit}" for unit in ("ms", "s") if any(part.endswith(f"_{unit}") for part in parts)), "")
    return f"{format_number(value)}{unit}"


def percent(share: float | None, digits: int = 1) -> str:
    """`97.5%` of 0.975."""
    return "unknown" if share is None else f"{share:.{digits}%}"


def mib(size_bytes: float | None) -> str:
    """Mebibytes, without decimals."""
    return "unknown" if size_bytes is None else f"{size_bytes / 2**20:,.0f} MiB"


def kib(size_bytes: float | None) -> str:
    """Kibibytes, with two decimals."""
    return "unknown" if size_bytes is None else f"{size_bytes / 2**10:,.2f} KiB"


def milliseconds(value_ms: float) -> str:
    """`20 ms`, and `2 s` from a second on."""
    return f"{value_ms / 1000:g} s" if value_ms >= 1000 else f"{value_ms:g} ms"


def moment(t: float | None) -> str:
    """A Unix time by the calendar, in UTC."""
    return "unknown" if t is None else time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(t))


def since(t: float | None, start: float | None) -> str:
    """Minutes and seconds from `start`."""
    if t is None or start is None:
        return "unknown"
    minutes, seconds = divmod(round(t - start), 60)
    return f"{minutes}:{seconds:02}"

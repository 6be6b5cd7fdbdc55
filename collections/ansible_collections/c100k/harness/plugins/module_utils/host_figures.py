# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What the kernel of a host counts, in the same words wherever it was read.

Series have the names of node_exporter, so that those of /proc and those of Prometheus are told by the same table.
"""

from __future__ import annotations

import os
from pathlib import Path

CPU = "node_cpu_seconds_total"

#: The columns of a CPU in /proc/stat; time that a guest ran, which follows, is in the user's time already.
_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

#: Each figure of the processor, and the modes that it is the sum of.
CPU_FIGURES = {
    "busy_s": tuple(mode for mode in _MODES if mode not in ("idle", "iowait")),
    "total_s": _MODES,
    "irq_s": ("irq",),
    "softirq_s": ("softirq",),
}

#: Each figure, by group, and the series that it is the sum of.
FIGURES = {
    "sockets": {
        "used": ("node_sockstat_sockets_used",),
        "tcp_in_use": ("node_sockstat_TCP_inuse", "node_sockstat_TCP6_inuse"),
        "tcp_time_wait": ("node_sockstat_TCP_tw",),
        "tcp_allocated": ("node_sockstat_TCP_alloc",),
        "tcp_orphaned": ("node_sockstat_TCP_orphan",),
        "tcp_memory_bytes": ("node_sockstat_TCP_mem_bytes",),
    },
    "listening": {
        "overflows": ("node_netstat_TcpExt_ListenOverflows",),
        "drops": ("node_netstat_TcpExt_ListenDrops",),
    },
    "memory": {
        "total_bytes": ("node_memory_MemTotal_bytes",),
        "available_bytes": ("node_memory_MemAvailable_bytes",),
        "swap_total_bytes": ("node_memory_SwapTotal_bytes",),
        "swap_free_bytes": ("node_memory_SwapFree_bytes",),
    },
    "interrupts": {
        "interrupts": ("node_intr_total",),
        "context_switches": ("node_context_switches_total",),
        "packets_processed": ("node_softnet_processed_total",),
        "packets_dropped": ("node_softnet_dropped_total",),
        "times_squeezed": ("node_softnet_times_squeezed_total",),
    },
    "files": {
        "open": ("node_filefd_allocated",),
        "limit": ("node_filefd_maximum",),
    },
    "connection_tracking": {
        "entries": ("node_nf_conntrack_entries",),
        "limit": ("node_nf_conntrack_entries_limit",),
    },
}

#: All series that are asked for.
SERIES = (CPU, "node_load1", *(name for group in FIGURES.values() for names in group.values() for name in names))


def told(series):
    """The figures of one host, or None where there is not one; a figure that is not among the series is None."""
    sums, seconds, cores = {}, {}, set()
    for name, labels, value in series:
        if name == CPU:
            seconds[labels["mode"]] = seconds.get(labels["mode"], 0) + value
            cores.add(labels["cpu"])
        elif name in SERIES:
            sums[name] = sums.get(name, 0) + value
    if not sums:
        return None
    return {
        **{
            group: {figure: _sum([sums[name] for name in names if name in sums]) for figure, names in figures.items()}
            for group, figures in FIGURES.items()
        },
        "cpu": {
            "cores": len(cores) or None,
            **{
                figure: _sum([seconds[mode] for mode in modes if mode in seconds])
                for figure, modes in CPU_FIGURES.items()
            },
            "load_1m": sums.get("node_load1"),
        },
    }


def _sum(values):
    return sum(values) if values else None


def read():
    """The series of this host, from /proc."""
    return [*_sockets(), *_listening(), *_memory(), *_stat(), *_softnet(), *_single_files()]


def _lines(path):
    """The words of each line, none where the kernel has no such file."""
    try:
        return [line.split() for line in Path(path).read_text().splitlines()]
    except OSError:
        return []


def _sockets():
    for words in (*_lines("/proc/net/sockstat"), *_lines("/proc/net/sockstat6")):
        protocol = words[0].rstrip(":")
        for figure, value in zip(words[1::2], words[2::2], strict=True):
            yield f"node_sockstat_{protocol}_{figure}", {}, int(value)
            if figure == "mem":
                yield f"node_sockstat_{protocol}_mem_bytes", {}, int(value) * os.sysconf("SC_PAGE_SIZE")


def _listening():
    """/proc/net/netstat has a line of names above each line of values."""
    lines = [words[1:] for words in _lines("/proc/net/netstat") if words[0] == "TcpExt:"]
    for name, value in zip(*lines, strict=True) if len(lines) == 2 else ():
        yield f"node_netstat_TcpExt_{name}", {}, int(value)


def _memory():
    for name, value, *_unit in _lines("/proc/meminfo"):
        yield f"node_memory_{name.rstrip(':')}_bytes", {}, int(value) * 1024


def _stat():
    per_second = os.sysconf("SC_CLK_TCK")
    for name, *values in _lines("/proc/stat"):
        if name.startswith("cpu") and name != "cpu":
            for mode, ticks in zip(_MODES, values[: len(_MODES)], strict=True):
                yield CPU, {"cpu": name.removeprefix("cpu"), "mode": mode}, int(ticks) / per_second
        elif name in ("intr", "ctxt"):
            yield {"intr": "node_intr_total", "ctxt": "node_context_switches_total"}[name], {}, int(values[0])


def _softnet():
    """A line for each core, in hexadecimal digits."""
    for processed, dropped, squeezed, *_rest in _lines("/proc/net/softnet_stat"):
        yield "node_softnet_processed_total", {}, int(processed, 16)
        yield "node_softnet_dropped_total", {}, int(dropped, 16)
        yield "node_softnet_times_squeezed_total", {}, int(squeezed, 16)


def _single_files():
    for allocated, _free, maximum in _lines("/proc/sys/fs/file-nr"):
        yield "node_filefd_allocated", {}, int(allocated)
        yield "node_filefd_maximum", {}, int(maximum)
    for name, column in (("entries", "count"), ("entries_limit", "max")):
        for (value,) in _lines(f"/proc/sys/net/netfilter/nf_conntrack_{column}"):
            yield f"node_nf_conntrack_{name}", {}, int(value)
    for load, *_rest in _lines("/proc/loadavg"):
        yield "node_load1", {}, float(load)

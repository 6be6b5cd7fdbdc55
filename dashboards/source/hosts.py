"""The hosts and their kernels, from node_exporter."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from source.panels import board, chart
from source.prometheus import HOST


def dashboard() -> Dashboard:
    return (
        board("hosts", "hosts and kernel", "Processors, memory and sockets of the hosts, and what the kernel drops.")
        .with_panel(
            chart(
                "Processors",
                "The share of all processors of a host that is busy.",
                "percentunit",
                {"{{host}}": f"host:node_cpu_busy:ratio20s{{{HOST}}}"},
            )
        )
        .with_panel(
            chart(
                "Soft interrupts",
                "Cores that the kernel takes for packets.",
                "percentunit",
                {"{{host}}": f'sum by (host) (rate(node_cpu_seconds_total{{{HOST},mode="softirq"}}[20s]))'},
            )
        )
        .with_panel(
            chart(
                "Memory available",
                "What can still be had without swapping.",
                "bytes",
                {"{{host}}": f"node_memory_MemAvailable_bytes{{{HOST}}}"},
            )
        )
        .with_panel(
            chart(
                "Memory of TCP",
                "What the kernel takes for buffers of TCP.",
                "bytes",
                {"{{host}}": f"node_sockstat_TCP_mem_bytes{{{HOST}}}"},
            )
        )
        .with_panel(
            chart("Sockets", "TCP sockets in use.", "short", {"{{host}}": f"node_sockstat_TCP_inuse{{{HOST}}}"})
        )
        .with_panel(
            chart(
                "Files",
                "Files open on the host, sockets among them.",
                "short",
                {"{{host}}": f"node_filefd_allocated{{{HOST}}}"},
            )
        )
        .with_panel(
            chart(
                "Connections dropped",
                "Connections that the kernel dropped before a server could accept them, in the last 30 s.",
                "short",
                {"{{host}}": f"host:node_listen_drops:increase30s{{{HOST}}}"},
            )
        )
        .with_panel(
            chart(
                "Sent again",
                "TCP segments a second that had to be sent again.",
                "short",
                {"{{host}}": f"rate(node_netstat_Tcp_RetransSegs{{{HOST}}}[20s])"},
            )
        )
        .with_panel(
            chart(
                "Network",
                "Bytes received a second, on all interfaces but loopback.",
                "Bps",
                {"{{host}}": f'sum by (host) (rate(node_network_receive_bytes_total{{{HOST},device!="lo"}}[20s]))'},
            )
        )
        .with_panel(
            chart(
                "Interrupts and context switches",
                "A second, of each host.",
                "short",
                {
                    "{{host}} interrupts": f"rate(node_intr_total{{{HOST}}}[20s])",
                    "{{host}} switches": f"rate(node_context_switches_total{{{HOST}}}[20s])",
                },
            )
        )
    )

"""The settings of one server, and of one worker of it."""

from __future__ import annotations

import msgspec

from c100k_server.errors import UsageError


class Address(msgspec.Struct, frozen=True):
    """Where to listen. `port` 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read `HOST:PORT`, `[IPV6]:PORT` or `:PORT` (every address). Raises `UsageError`."""
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise UsageError(f"{text!r} is ambiguous: write an IPv6 address as [ADDRESS]:PORT")
        if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
            raise UsageError(f"{text!r} is not HOST:PORT with a port from 0 to 65535")
        return cls(host or "0.0.0.0", int(port))


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What one connection may cost a worker."""

    max_line_bytes: int
    write_buffer_bytes: int
    slow_reader_s: float


class ServeConfig(msgspec.Struct, frozen=True):
    """What `c100k-server serve` was asked for. `workers` None means auto; `connections` are expected here."""

    tcp: Address
    admin: Address
    workers: int | None
    connections: int | None
    limits: ConnectionLimits
    drain_s: float


class WorkerConfig(msgspec.Struct, frozen=True):
    """All that a worker process is told, as the JSON of its one argument.

    `statistics_fd` is the shared memory that it inherits, `parent_pid` the process whose death ends it, and
    `connections_max` what its file limit lets it hold.
    """

    index: int
    parent_pid: int
    statistics_fd: int
    tcp: Address
    connections_max: int
    limits: ConnectionLimits
    drain_s: float

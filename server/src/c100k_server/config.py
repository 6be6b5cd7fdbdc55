"""The settings of one server, and of one worker of it."""

from __future__ import annotations

import msgspec

from c100k_server.errors import UsageError

DEFAULT_MAX_LINE_BYTES = 2**20
# How a worker is told the key of `requestState`.
STATE_KEY_VARIABLE = "C100K_SERVER_STATE_KEY"


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
        if not colon or not (port.isascii() and port.isdecimal() and len(port) < 6) or int(port) > 65535:
            raise UsageError(f"{text!r} is not HOST:PORT with a port from 0 to 65535")
        return cls(host or "0.0.0.0", int(port))


class KeepAlive(msgspec.Struct, frozen=True):
    """When the kernel gives up a peer that vanished without a word, such as one whose host lost its power.

    After `idle_s` of silence it probes every `interval_s`, and closes after `probes` without an answer. The first is
    shorter than the 350 s after which common load balancers and NATs forget a silent connection, and long enough that
    100,000 idle connections cost 833 small packets per second. None of it costs this server memory or time.
    """

    idle_s: int = 120
    interval_s: int = 15
    probes: int = 4

    @property
    def user_timeout_ms(self) -> int:
        """How long what was sent may stay unacknowledged. Linux lets it overrule the number of probes, so it must not
        be less than all of them take."""
        return 1000 * (self.idle_s + self.interval_s * self.probes)


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What one connection may cost a worker, and all of them."""

    max_line_bytes: int
    write_buffer_bytes: int
    slow_reader_s: float
    # From one address, in one worker; 0 is without limit.
    per_peer_max: int = 0
    # Requests under way in one worker.
    in_flight_max: int = 4096
    # For the first message, or one that has begun, to arrive over TCP.
    message_s: float = 30.0
    keepalive: KeepAlive = KeepAlive()


class TlsFiles(msgspec.Struct, frozen=True):
    """PEM files of a certificate with its chain, and of its key. A handshake may take `handshake_s`."""

    certificate: str
    key: str
    handshake_s: float


class HttpConfig(msgspec.Struct, frozen=True):
    """How HTTP is served. The `token_file` has a bearer token a line, one of which a client must show, or `auth` names
    a function that says whose a token is, which is remembered for `auth_cache_s`; `hosts` and `origins` are allowed
    beside those of this host itself. A connection may take `handshake_s` for its first byte, a request `request_s` to
    arrive."""

    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    token_file: str | None = None
    auth: str | None = None
    auth_cache_s: float = 30.0
    max_header_bytes: int = 16 * 1024
    handshake_s: float = 30.0
    request_s: float = 30.0
    session_idle_s: float = 1800.0
    # How long a WebSocket may be silent before it is asked whether it is there.
    ping_s: float = 30.0
    sessions_max: int = 20_000


class StateConfig(msgspec.Struct, frozen=True):
    """The Redis Cluster that keeps what the nodes of a cluster share. `node` is the name of this one; a session that
    no node has used for `lease_s` is gone. When most nodes have not heard a master for `failover_after_s`, or its host
    refuses connections, its replica is asked to take over; with 0 that is left to Redis."""

    seeds: tuple[Address, ...]
    node: str
    username: str | None = None
    password_file: str | None = None
    lease_s: float = 600.0
    failover_after_s: float = 0.0


class ServeConfig(msgspec.Struct, frozen=True):
    """What `c100k-server serve` was asked for. `workers` None means auto; `connections` are expected here."""

    app: str | None
    tcp: Address | None
    http: Address | None
    ws: Address | None
    unix: str | None
    admin: Address
    workers: int | None
    connections: int | None
    limits: ConnectionLimits
    http_config: HttpConfig
    tls: TlsFiles | None
    state_key_file: str | None
    drain_s: float
    state: StateConfig | None = None


class StdioConfig(msgspec.Struct, frozen=True):
    """What `c100k-server stdio` was asked for."""

    app: str | None


class WorkerConfig(msgspec.Struct, frozen=True):
    """All that a worker process is told, as the JSON of its one argument.

    `statistics_fd` is the shared memory that it inherits, `unix_fd` a socket that listens, `inbox_fd` its mailbox, and
    `mailbox_prefix` what the names of those of all `workers` begin with. `parent_pid` is the process whose death ends
    it, and `connections_max` what its file limit lets it hold.
    """

    index: int
    workers: int
    parent_pid: int
    statistics_fd: int
    inbox_fd: int
    mailbox_prefix: str
    app: str | None
    tcp: Address | None
    http: Address | None
    ws: Address | None
    unix_fd: int | None
    connections_max: int
    limits: ConnectionLimits
    http_config: HttpConfig
    tls: TlsFiles | None
    drain_s: float
    state: StateConfig | None


class WorkerReport(msgspec.Struct, frozen=True):
    """What a worker says once: the `problem` that it cannot serve for, empty if it serves."""

    problem: str = ""
    is_final: bool = False

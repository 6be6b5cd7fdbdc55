"""The command line."""

from __future__ import annotations

import argparse
import math
import os
import re
import socket
import sys
import tomllib
from pathlib import Path
from typing import NoReturn

import uvloop

from c100k_server.config import (
    DEFAULT_MAX_LINE_BYTES,
    Address,
    ConnectionLimits,
    HttpConfig,
    KeepAlive,
    ServeConfig,
    StateConfig,
    StdioConfig,
    TlsFiles,
)
from c100k_server.errors import ServerError, UsageError
from c100k_server.limits import DEFAULT_CONNECTIONS, available_memory_bytes, plan_workers, raise_file_limit
from c100k_server.loading import load_app
from c100k_server.stdio import serve_stdio
from c100k_server.supervisor import supervise
from c100k_server.tools import ECHO
from c100k_server.version import __version__

_VARIABLE = "C100K_SERVER_"


def main() -> None:
    """The command `c100k-server`. Ends with 0, with 2 for wrong usage, with 1 when it cannot serve."""
    try:
        config = read_arguments(sys.argv[1:])
        if isinstance(config, StdioConfig):
            uvloop.run(serve_stdio(ECHO if config.app is None else load_app(config.app)))
            return
        plan = plan_workers(
            connections=config.connections,
            workers=config.workers,
            file_limit=raise_file_limit(),
            cores=len(os.sched_getaffinity(0)),
            memory_bytes=available_memory_bytes(),
            with_tls=config.tls is not None,
        )
        uvloop.run(supervise(config, plan))
    except ServerError as error:
        print(f"c100k-server: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def read_arguments(arguments: list[str]) -> ServeConfig | StdioConfig:
    """Raises `UsageError`."""
    parser = _Parser(prog="c100k-server", description="A Model Context Protocol server for many connections.")
    parser.add_argument("--version", action="version", version=f"c100k-server {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="serve|stdio")
    stdio = commands.add_parser("stdio", help="serve the client that started this process")
    stdio.add_argument("app", metavar="MODULE:APP", nargs="?", help="the app to serve; without it, one that echoes")
    serve = commands.add_parser(
        "serve", help="serve until SIGTERM, then drain", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    option = serve.add_argument
    option("app", metavar="MODULE:APP", nargs="?", help="the app to serve; without it, one that echoes")
    option("--config", metavar="FILE", help="TOML, with the options below by their names; flags come first")
    option("--tcp", metavar="HOST:PORT", type=Address.parse, help="clients, one message a line (127.0.0.1:7000)")
    option("--unix", metavar="PATH", help="the same over a Unix socket")
    option("--http", metavar="HOST:PORT", type=Address.parse, help="clients of Streamable HTTP, at /mcp")
    option("--ws", metavar="HOST:PORT", type=Address.parse, help="clients of WebSocket, subprotocol mcp, at /mcp")
    option(
        "--admin",
        metavar="HOST:PORT",
        type=Address.parse,
        default="127.0.0.1:7001",
        help="/metrics /healthz /readyz /cluster",
    )
    option("--workers", metavar="auto|N", type=_auto_or_positive, default="auto", help="processes")
    auto = f"expected on this host; auto: {DEFAULT_CONNECTIONS}, or what so many workers hold"
    option("--connections", metavar="auto|N", type=_auto_or_positive, default="auto", help=auto)
    option(
        "--max-line-bytes", metavar="N", type=_positive, default=DEFAULT_MAX_LINE_BYTES, help="longest message accepted"
    )
    option("--write-buffer-bytes", metavar="N", type=_positive, default=2**16, help="unsent answers per connection")
    option("--slow-reader-s", metavar="S", type=_seconds, default=10.0, help="how long a peer may leave them unread")
    option("--message-s", metavar="S", type=_seconds, default=30.0, help="how long a TCP client may take to send one")
    option("--drain-s", metavar="S", type=_seconds, default=10.0, help="how long SIGTERM may take")
    option("--per-peer", metavar="N", type=_positive, help="connections of one address in one worker (no limit)")
    option("--in-flight-max", metavar="N", type=_positive, default=4096, help="requests under way in one worker")
    option("--keepalive-idle-s", metavar="S", type=_positive, default=120, help="silence until a peer is probed")
    option("--keepalive-interval-s", metavar="S", type=_positive, default=15, help="between probes")
    option("--keepalive-probes", metavar="N", type=_positive, default=4, help="unanswered until it is given up")
    option("--tls-cert", metavar="FILE", help="certificate with its chain, PEM: TLS on --tcp, --http and --ws")
    option("--tls-key", metavar="FILE", help="its key, PEM, without a passphrase")
    option("--tls-handshake-s", metavar="S", type=_seconds, default=30.0, help="how long a TLS handshake may take")
    option("--http-hosts", metavar="A,B", type=_names, default="", help="names in Host that are allowed")
    option("--http-origins", metavar="A,B", type=_names, default="", help="Origins that are allowed")
    option("--token-file", metavar="FILE", help="bearer tokens, one a line, one of which HTTP clients must show")
    option("--auth", metavar="MODULE:FUNCTION", help="says whose a bearer token is; without it, the app's own, if any")
    option("--auth-cache-s", metavar="S", type=_seconds, default=30.0, help="how long it is not asked again")
    option("--state-key-file", metavar="FILE", help="key of requestState, which the nodes of a cluster share")
    option("--http-handshake-s", metavar="S", type=_seconds, default=30.0, help="until a connection's first byte")
    option("--http-request-s", metavar="S", type=_seconds, default=30.0, help="until a request has arrived")
    option("--ws-ping-s", metavar="S", type=_positive, default=30, help="silence of a WebSocket until it is pinged")
    option("--session-idle-s", metavar="S", type=_seconds, default=1800.0, help="until an unused session ends")
    option("--state", choices=("memory", "redis"), default="memory", help="where sessions are kept")
    option("--redis", metavar="A,B", type=_addresses, help="nodes of the Redis Cluster; one that answers is enough")
    option("--redis-user", metavar="NAME", help="its user, if not the default one")
    option("--redis-password-file", metavar="FILE", help="the password of that user")
    option("--node", metavar="NAME", type=_node_name, default=socket.gethostname(), help="this host, in the cluster")
    option(
        "--session-lease-s", metavar="S", type=_seconds, default=600.0, help="how long Redis keeps one without owner"
    )
    option(
        "--redis-failover-after-s",
        metavar="S",
        type=_seconds,
        default=0.0,
        help="a master's silence until its replica is asked to take over (sooner where its host refuses connections); "
        "0: when Redis itself finds so",
    )
    serve.set_defaults(**_settings(arguments, {action.dest for action in serve._actions}))
    parsed = parser.parse_args(arguments)
    if parsed.command == "stdio":
        return StdioConfig(app=parsed.app)
    if parsed.token_file is not None and parsed.auth is not None:
        raise UsageError("--token-file and --auth exclude each other")
    if (parsed.tls_cert is None) != (parsed.tls_key is None):
        raise UsageError("--tls-cert and --tls-key need each other")
    if all(each is None for each in (parsed.tcp, parsed.http, parsed.ws, parsed.unix)):
        parsed.tcp = Address("127.0.0.1", 7000)
    if (parsed.state == "redis") != (parsed.redis is not None):
        raise UsageError("--state redis and --redis HOST:PORT,… belong together")
    return ServeConfig(
        app=parsed.app,
        tcp=parsed.tcp,
        http=parsed.http,
        ws=parsed.ws,
        unix=parsed.unix,
        admin=parsed.admin,
        workers=parsed.workers,
        connections=parsed.connections,
        limits=ConnectionLimits(
            max_line_bytes=parsed.max_line_bytes,
            write_buffer_bytes=parsed.write_buffer_bytes,
            slow_reader_s=parsed.slow_reader_s,
            per_peer_max=parsed.per_peer or 0,
            in_flight_max=parsed.in_flight_max,
            message_s=parsed.message_s,
            keepalive=KeepAlive(parsed.keepalive_idle_s, parsed.keepalive_interval_s, parsed.keepalive_probes),
        ),
        http_config=HttpConfig(
            hosts=parsed.http_hosts,
            origins=parsed.http_origins,
            token_file=parsed.token_file,
            auth=parsed.auth,
            auth_cache_s=parsed.auth_cache_s,
            handshake_s=parsed.http_handshake_s,
            request_s=parsed.http_request_s,
            ping_s=parsed.ws_ping_s,
            session_idle_s=parsed.session_idle_s,
        ),
        tls=None if parsed.tls_cert is None else TlsFiles(parsed.tls_cert, parsed.tls_key, parsed.tls_handshake_s),
        state_key_file=parsed.state_key_file,
        drain_s=parsed.drain_s,
        state=None
        if parsed.redis is None
        else StateConfig(
            seeds=parsed.redis,
            node=parsed.node,
            username=parsed.redis_user,
            password_file=parsed.redis_password_file,
            lease_s=parsed.session_lease_s,
            failover_after_s=parsed.redis_failover_after_s,
        ),
    )


def _settings(arguments: list[str], known: set[str]) -> dict[str, str]:
    """What the environment says, and below it the configuration file. Raises `UsageError`."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--config", default=os.environ.get(f"{_VARIABLE}CONFIG"))
    path = reader.parse_known_args(arguments)[0].config
    found: dict[str, str] = {}
    if path is not None:
        try:
            written = tomllib.loads(Path(path).read_text())
        except (OSError, ValueError, RecursionError) as error:
            raise UsageError(f"cannot read the configuration {path}: {error}") from None
        found = {name.replace("-", "_"): _as_text(value) for name, value in written.items()}
        if unknown := sorted(found.keys() - known):
            raise UsageError(f"{path}: there is no option {unknown[0]!r}")
    for name in known:
        value = os.environ.get(_VARIABLE + name.upper())
        if value is not None:
            found[name] = value
    return found


def _as_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _addresses(text: str) -> tuple[Address, ...]:
    return tuple(Address.parse(name) for name in _names(text))


def _node_name(text: str) -> str:
    if re.fullmatch(r"[\w.-]{1,64}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of up to 64 letters, digits, and . _ -")
    return text


def _auto_or_positive(text: str) -> int | None:
    return None if text == "auto" else _positive(text)


def _positive(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return number


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return number

"""The address of a server as people write it: `https://my.server/mcp`, `tcp://127.0.0.1:7000`, `unix:///run/mcp.sock`,
and with `stdio:python server.py` the command that is one."""

from __future__ import annotations

import re
import shlex
import socket
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from c100k_loadgen.errors import DiscoveryError, UrlError

_MARK = "://"
_STDIO = "stdio:"
_CONNECT_S = 10.0


class _Scheme(NamedTuple):
    transport: str
    tls: bool
    port: int | None


_SCHEMES = {
    "http": _Scheme("http", False, 80),
    "https": _Scheme("http", True, 443),
    "tcp": _Scheme("tcp", False, None),
    "tcps": _Scheme("tcp", True, None),
    "unix": _Scheme("tcp", False, None),
    "ws": _Scheme("websocket", False, 80),
    "wss": _Scheme("websocket", True, 443),
}


class Url(NamedTuple):
    """What an address says: how to reach a server. `address` is a host's name, its IP address, or a socket's path;
    over stdio there is a `command` instead."""

    text: str
    transport: str
    tls: bool
    address: str
    port: int
    path: str
    command: tuple[str, ...] = ()

    @property
    def unix(self) -> bool:
        return self.text.startswith("unix" + _MARK)


def is_url(text: str) -> bool:
    return _MARK in text or text.startswith(_STDIO)


def parse_url(text: str) -> Url:
    """Read the address of a server.

    Raises:
        UrlError: it is none.
    """
    if text.startswith(_STDIO):
        return _command(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise UrlError(f"{text}: {error}.") from None
    scheme = _SCHEMES.get(parts.scheme)
    if scheme is None:
        raise UrlError(f"{text}: the scheme {parts.scheme!r} is not known; these are: {', '.join(_SCHEMES)}, stdio.")
    if parts.username is not None:
        raise UrlError("The address holds a user's name; a token is given by --token-file or --token-env.")
    if parts.scheme == "unix":
        if parts.netloc or len(parts.path) < 2:
            raise UrlError(f"{text}: a Unix socket is written unix:///PATH.")
        return Url(text, scheme.transport, scheme.tls, parts.path, 0, "/mcp")
    port = scheme.port if port is None else port
    if not parts.hostname or not port:
        raise UrlError(f"{text}: write {parts.scheme}{_MARK}HOST:PORT.")
    return Url(text, scheme.transport, scheme.tls, _ascii(parts), port, _path(parts, scheme))


def _command(text: str) -> Url:
    try:
        command = tuple(shlex.split(text.removeprefix(_STDIO)))
    except ValueError as error:
        raise UrlError(f"{text}: this is no command: {error}.") from None
    if not command:
        raise UrlError(f"{text}: write stdio:COMMAND ARGUMENTS.")
    return Url(text, "stdio", False, "", 0, "", command)


def _ascii(parts: SplitResult) -> str:
    name = parts.hostname or ""
    try:
        return name if name.isascii() else name.encode("idna").decode("ascii")
    except UnicodeError:
        raise UrlError(f"{name}: this cannot be the name of a host.") from None


def _path(parts: SplitResult, scheme: _Scheme) -> str:
    if scheme.transport == "tcp":
        if parts.path not in ("", "/") or parts.query:
            raise UrlError(f"{parts.geturl()}: over {parts.scheme} there are no paths.")
        return "/mcp"
    path = (parts.path or "/mcp") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or not path.isprintable() or " " in path:
        raise UrlError(f"{parts.geturl()}: write the path percent-encoded.")
    return path


def target_of(url: Url) -> dict[str, Any]:
    """The target of a plan that this is: its name is resolved, to the first of its addresses that can be reached.

    Raises:
        DiscoveryError: nothing answers there.
    """
    if url.command:
        name = re.sub(r"[^A-Za-z0-9._-]", "-", url.command[0].rpartition("/")[2])
        return {"name": name.strip("-._") or "server", "command": list(url.command)}
    try:
        if url.unix:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(_CONNECT_S)
                probe.connect(url.address)
            return {"name": "unix", "address": url.address}
        with socket.create_connection((url.address, url.port), _CONNECT_S) as made:
            address = str(made.getpeername()[0])
    except OSError as error:
        raise DiscoveryError(f"{url.text} cannot be reached: {error.strerror or error}.") from None
    return {
        "name": url.address.replace(":", "-").strip("-") or "server",
        "address": address,
        "port": url.port,
        "host_name": url.address,
        "path": url.path,
    }

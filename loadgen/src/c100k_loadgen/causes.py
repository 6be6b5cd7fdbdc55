"""The names under which things that went wrong are counted, and which error of the system goes under which."""

from __future__ import annotations

import errno
from typing import Literal

Kind = Literal["connect_error", "close", "message_error"]

_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "ports_exhausted",
    errno.EADDRINUSE: "ports_exhausted",
    errno.EMFILE: "file_limit",
    errno.ENFILE: "file_limit",
}


def cause_of(number: int | None) -> str:
    """The cause for an `errno`; `os_error` for one that has no name of its own here (no memory, say)."""
    return _BY_ERRNO.get(number or 0, "os_error")

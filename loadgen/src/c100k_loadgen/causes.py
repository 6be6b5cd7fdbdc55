"""The names under which things that went wrong are counted, and which error of the system goes under which."""

from __future__ import annotations

import errno
import ssl
from typing import Literal, TypeGuard

Kind = Literal["connect_error", "close", "message_error", "ping_error", "session_end"]

#: Messages that were intended, and never sent.
UNSENT = ("not_connected", "queue_full", "no_free_connection")

#: Why a plan closes connections that it has opened again: the causes of their closes.
Planned = Literal["churn", "storm"]

_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.EAGAIN: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.ENOENT: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.ENETDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "ports_exhausted",
    errno.EADDRINUSE: "ports_exhausted",
    errno.EMFILE: "file_limit",
    errno.ENFILE: "file_limit",
}


def planned(cause: str) -> TypeGuard[Planned]:
    """Whether the plan asked for a close of that cause, of a connection that is then opened again."""
    return cause in ("churn", "storm")


def cause_of(number: int | None) -> str:
    """The cause for an `errno`; `os_error` for one that has no name of its own here (no memory, say)."""
    return _BY_ERRNO.get(number or 0, "os_error")


def cause_of_error(error: OSError) -> str:
    """The cause for an error of the system or of TLS, which has no `errno`."""
    match error:
        case ssl.SSLCertVerificationError():
            return "bad_certificate"
        case ssl.SSLError():
            return "tls_failed"
        case ConnectionResetError() | ConnectionAbortedError() | BrokenPipeError():
            return "reset"
    return cause_of(error.errno)

"""What a client shows and what it wants to be shown: its bearer token, and the server's certificate."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from c100k_loadgen.errors import CredentialsError, reason_of
from c100k_loadgen.plan import Plan, Tls, Token


def bearer(token: Token | None) -> str | None:
    """The token itself.

    Raises:
        CredentialsError: it cannot be had, or cannot go into a header.
    """
    if token is None:
        return None
    if token.file is not None:
        where = token.file
        try:
            text = Path(token.file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CredentialsError(f"{where}: no token can be read from it: {reason_of(error)}.") from None
    else:
        where = f"the environment variable {token.env}"
        text = os.environ.get(token.env or "", "").strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise CredentialsError(f"{where}: a bearer token must be one word of visible ASCII characters.")
    return text


def tls_context(plan: Plan) -> ssl.SSLContext | None:
    """How connections are encrypted, if they are.

    Raises:
        CredentialsError: the authorities cannot be read.
    """
    if plan.tls is None:
        return None
    context = _context(plan.tls)
    if plan.transport in ("http", "websocket"):
        context.set_alpn_protocols(["http/1.1"])
    return context


def check_credentials(plan: Plan) -> None:
    """Raises `CredentialsError` when something that the plan names cannot be had."""
    bearer(plan.token)
    tls_context(plan)


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
    except OSError as error:
        raise CredentialsError(f"{tls.ca_file}: no certificates can be read from it: {reason_of(error)}.") from None
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

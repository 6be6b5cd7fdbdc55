"""Who a client is: the bearer token that it shows, and the function that says whose it is."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from c100k_server.errors import TokenFileError
from c100k_server.events import emit

# Whose a token is: a name, or claims such as those of a JWT.
Principal: TypeAlias = str | Mapping[str, Any]

# What a worker remembers: a few MiB at most.
REMEMBERED_MAX = 10_000
# Verifications at a time; each may wait for another server.
UNDER_WAY_MAX = 1000
TIMEOUT_S = 10.0


class Caller(msgspec.Struct, frozen=True):
    """Where a token was shown: from which address, and for which path."""

    peer: str
    path: str


Verdict: TypeAlias = Principal | None
Verify: TypeAlias = Callable[..., Verdict | Awaitable[Verdict]]


class CannotVerifyError(Exception):
    """Nobody knows whose a token is, because the function that would failed or is overrun."""


class Authenticator:
    """Asks `verify(token)`, or `verify(token, caller)` if it takes two, and remembers for `remember_s` who it was.

    A function that is not async runs in a thread. Refusals are not remembered. Claims with an `exp` are forgotten
    when that comes.
    """

    def __init__(self, verify: Verify, threads: Executor, remember_s: float) -> None:
        self._verify: Callable[..., Any] = verify
        self._threads = threads
        self._remember_s = remember_s
        self._is_async = inspect.iscoroutinefunction(verify)
        self._wants_caller = len(inspect.signature(verify).parameters) > 1
        self._remembered: dict[tuple[str, Caller | None], tuple[float, Principal]] = {}
        self._under_way: dict[tuple[str, Caller | None], asyncio.Task[Verdict]] = {}

    def identify(self, token: str, caller: Caller) -> Principal | asyncio.Future[Verdict]:
        """Whose a token is, at once if that is known; the result of the future is None if it is nobody's.

        Raises `CannotVerifyError`, as does the future.
        """
        key = (token, caller if self._wants_caller else None)
        remembered = self._remembered.get(key)
        if remembered is not None:
            if time.time() < remembered[0]:
                return remembered[1]
            del self._remembered[key]
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= UNDER_WAY_MAX:
                raise CannotVerifyError
            task = self._under_way[key] = asyncio.get_running_loop().create_task(self._ask(key, caller))
            task.add_done_callback(lambda _: self._under_way.pop(key))
        return task

    async def _ask(self, key: tuple[str, Caller | None], caller: Caller) -> Verdict:
        arguments = (key[0], caller) if self._wants_caller else (key[0],)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                if self._is_async:
                    found: Verdict = await self._verify(*arguments)
                else:
                    loop = asyncio.get_running_loop()
                    found = await loop.run_in_executor(self._threads, self._verify, *arguments)
            if found is not None:
                identity_of(found)
        except Exception as error:
            emit("auth_error", error=repr(error), traceback="".join(traceback.format_exception(error)))
            raise CannotVerifyError from error
        if found is not None and self._remember_s:
            if len(self._remembered) >= REMEMBERED_MAX:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[key] = (self._expiry(found), found)
        return found

    def _expiry(self, principal: Principal) -> float:
        expires_at = time.time() + self._remember_s
        given = None if isinstance(principal, str) else principal.get("exp")
        return min(expires_at, given) if isinstance(given, int | float) else expires_at


class TokenFile:
    """Tokens that an operator has written down, one a line; their principals are named by what they hash to."""

    def __init__(self, path: str) -> None:
        """Raises `TokenFileError`."""
        try:
            lines = Path(path).read_bytes().splitlines()
        except OSError as error:
            raise TokenFileError(path=path, reason=error.strerror or str(error)) from None
        self._tokens = [line.strip() for line in lines if line.strip()]

    def identify(self, token: str, caller: Caller) -> Verdict:
        given = token.encode()
        # All are compared, so that time tells nothing of which one was close.
        matches = [hmac.compare_digest(given, each) for each in self._tokens]
        return f"token-{hashlib.sha256(given).hexdigest()[:16]}" if any(matches) else None


def identity_of(principal: Principal | None) -> bytes:
    """A digest of what stays the same when a client renews its token: the name, or the subject of claims and who issued
    them, or all claims where they name none. Raises `TypeError` for what can be no principal."""
    if principal is None:
        return b""
    if not isinstance(principal, str | Mapping):
        raise TypeError(f"a principal is a str or a mapping of claims, not {type(principal).__name__}")
    lasting: object = principal
    if not isinstance(principal, str):
        lasting = [principal.get("iss"), principal["sub"]] if "sub" in principal else dict(principal)
    return hashlib.sha256(msgspec.json.encode(lasting, order="sorted")).digest()[:16]


def bearer_token(authorization: str) -> str | None:
    """The token in an Authorization header, if that is what it has."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None

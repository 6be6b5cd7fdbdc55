"""Which revision of MCP a server speaks: `server/discover` is asked first, then `initialize`."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import msgspec

from c100k_loadgen.credentials import bearer, tls_context
from c100k_loadgen.errors import DiscoveryError
from c100k_loadgen.http_framing import IDLE, FramingError, Head, Response, advance
from c100k_loadgen.http_requests import SessionRequests, Site, StatelessRequests
from c100k_loadgen.messages import FIRST_ID, SESSION_REVISIONS, STATELESS_REVISION, initialize_request
from c100k_loadgen.opener import target_address
from c100k_loadgen.plan import Plan

_ANSWER_BOUND_BYTES = 4 << 20
_NEWEST = SESSION_REVISIONS[-1]


class _Answer(msgspec.Struct):
    """A result as far as it says what a server speaks."""

    id: int | str | None = None
    method: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def discovered(plan: Plan) -> Plan:
    """The plan with what its first target speaks, where that was left open.

    Raises:
        DiscoveryError: that cannot be found out.
    """
    if plan.protocol != "auto":
        return plan
    stateless = plan.connection in ("auto", "stateless", "listen") and plan.transport == "http"
    try:
        if stateless and _is_stateless(plan):
            kind = "stateless" if plan.connection == "auto" else plan.connection
            return msgspec.structs.replace(plan, protocol=STATELESS_REVISION, connection=kind)
        if plan.connection in ("stateless", "listen"):
            raise DiscoveryError(f"{_name(plan)} does not speak {STATELESS_REVISION}, which {plan.connection} needs.")
        kind = "session" if plan.connection == "auto" else plan.connection
        return msgspec.structs.replace(plan, protocol=_session_revision(plan), connection=kind)
    except (OSError, FramingError, msgspec.MsgspecError) as error:
        raise DiscoveryError(f"{_name(plan)} cannot be asked what it speaks: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused ({error.verify_message}); see --ca-file and --insecure"
        case TimeoutError():
            return "no answer in time"
        case OSError():
            return error.strerror or str(error)
    return "its answer cannot be understood"


def _name(plan: Plan) -> str:
    return plan.targets[0].name


def _is_stateless(plan: Plan) -> bool:
    requests = StatelessRequests(_site(plan), None, None)
    _, answer = _over_http(plan, requests.discover)
    versions = (answer.result or {}).get("supportedVersions") if answer else None
    return isinstance(versions, list) and STATELESS_REVISION in versions


def _session_revision(plan: Plan) -> str:
    hint = ""
    if plan.transport == "http":
        status, found = _over_http(plan, SessionRequests(_site(plan), _NEWEST, None).initialize)
        if status in (401, 403) and plan.token is None:
            hint = "; give a token with --token-file or --token-env"
        answer = found or _Answer(error={"message": f"HTTP {status}"})
    else:
        answer = _over_lines(plan, initialize_request(_NEWEST))
    if answer.result is None:
        said = (answer.error or {}).get("message", "nothing that can be understood")
        raise DiscoveryError(f"{_name(plan)} answers initialize with an error: {said}{hint}.")
    revision = answer.result.get("protocolVersion")
    if revision not in SESSION_REVISIONS:
        raise DiscoveryError(f"{_name(plan)} speaks {revision}; this generator {', '.join(SESSION_REVISIONS)}.")
    return str(revision)


def _site(plan: Plan) -> Site:
    return Site.of(plan, plan.targets[0], bearer(plan.token))


def _over_http(plan: Plan, request: bytes) -> tuple[int, _Answer | None]:
    """The status of the answer, and what it says if it is a message."""
    framing, status, bodies = IDLE, 0, list[bytes]()
    with _connected(plan) as connection:
        connection.sendall(request)
        while data := connection.recv(1 << 16):
            framing, parts = advance(framing, data, _ANSWER_BOUND_BYTES)
            for part in parts:
                if isinstance(part, Response):
                    status, bodies = part.head.status, [part.body]
                elif isinstance(part, Head):
                    status = part.status
                elif isinstance(part, bytes):
                    bodies.append(part)
            for body in bodies:
                answer = _read(body)
                if answer is not None:
                    return status, answer
            if any(isinstance(part, Response) for part in parts):
                return status, None
    if not status:
        raise ConnectionError("it closes the connection without an answer")
    return status, None


def _over_lines(plan: Plan, request: bytes) -> _Answer:
    with _connected(plan) as connection, connection.makefile("rb") as lines:
        connection.sendall(request)
        for line in iter(lambda: lines.readline(_ANSWER_BOUND_BYTES), b""):
            answer = _read(line)
            if answer is not None:
                return answer
    raise ConnectionError("it closes the connection without an answer")


def _read(message: bytes) -> _Answer | None:
    """The answer that this is, if it is one and no notification."""
    try:
        answer = msgspec.json.decode(message, type=_Answer)
    except msgspec.MsgspecError:
        return None
    says_something = answer.result is not None or answer.error is not None
    return answer if says_something and answer.method is None and answer.id in (FIRST_ID, None) else None


def _connected(plan: Plan) -> socket.socket:
    family, address = target_address(plan.targets[0])
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.settimeout(plan.timeout_s)
        made.connect(address)
        context = tls_context(plan)
        if context is None:
            return made
        return context.wrap_socket(made, server_hostname=plan.targets[0].host_name or plan.targets[0].address)
    except BaseException:
        made.close()
        raise

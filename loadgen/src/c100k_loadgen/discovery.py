"""Which revision of MCP a server speaks: `server/discover` is asked first, then `initialize`."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from websockets.exceptions import InvalidHandshake

from c100k_loadgen.credentials import bearer, tls_context
from c100k_loadgen.errors import DiscoveryError
from c100k_loadgen.http_framing import IDLE, FramingError, Head, Response, advance
from c100k_loadgen.http_requests import SessionRequests, Site, StatelessRequests, list_tools
from c100k_loadgen.messages import FIRST_ID, SESSION_REVISIONS, STATELESS_REVISION, discover_request, initialize_request
from c100k_loadgen.opener import target_address
from c100k_loadgen.param_headers import headers_of
from c100k_loadgen.plan import Plan
from c100k_loadgen.websocket import Handshake, HandshakeRefusedError
from c100k_loadgen.websocket_framing import FrameError, Opcode, frames, masked

_ANSWER_BOUND_BYTES = 4 << 20
#: How long a server process may take to end when it is asked no more.
_PATIENCE_S = 2.0
_TOKEN_HINT = "; give a token with --token-file or --token-env"
#: Pages of tools that are asked for.
_PAGES_MOST = 100
_NEWEST = SESSION_REVISIONS[-1]


class _Tool(msgspec.Struct):
    name: str
    inputSchema: dict[str, Any] = {}


class _Tools(msgspec.Struct):
    """A page of `tools/list`."""

    tools: list[_Tool] = []
    nextCursor: str | None = None


class _Answer(msgspec.Struct):
    """A result as far as it says what a server speaks."""

    id: int | str | None = None
    method: str | None = None
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def discovered(plan: Plan) -> Plan:
    """The plan with what its first target speaks, where that was left open.

    Over HTTP the newest is asked for first. Anywhere else a connection is a session anyway, and only who refuses one is
    asked for more.

    Raises:
        DiscoveryError: that cannot be found out, or does not go with the plan.
    """
    if plan.protocol != "auto":
        return plan
    found = _discovered(plan)
    if found.stateless and found.heartbeat_s:
        raise DiscoveryError(f"{_name(plan)} speaks {STATELESS_REVISION}, which has no ping: leave the heartbeat.")
    return found


def _discovered(plan: Plan) -> Plan:
    try:
        if plan.connection in ("stateless", "listen"):
            if not _is_stateless(plan):
                raise DiscoveryError(
                    f"{_name(plan)} does not speak {STATELESS_REVISION}, which {plan.connection} needs."
                )
            return _stateless(plan)
        if plan.connection == "auto" and plan.transport == "http" and _is_stateless(plan):
            return _stateless(plan)
        kind = "session" if plan.connection == "auto" else plan.connection
        try:
            return msgspec.structs.replace(plan, protocol=_session_revision(plan), connection=kind)
        except DiscoveryError:
            if plan.connection == "auto" and plan.transport != "http" and _is_stateless(plan):
                return _stateless(plan)
            raise
    except (OSError, FramingError, InvalidHandshake, FrameError, msgspec.MsgspecError) as error:
        raise DiscoveryError(f"{_name(plan)} cannot be asked what it speaks: {_reason(error)}.") from None


def with_param_headers(plan: Plan) -> Plan:
    """The plan with the headers that its calls need, where they were left open and the era has such.

    Raises:
        DiscoveryError: the tools cannot be asked for.
    """
    if not plan.stateless or plan.transport != "http" or all(call.headers is not None for call in plan.calls):
        return plan
    try:
        known = _headers_by_tool(plan)
    except (OSError, FramingError, msgspec.MsgspecError) as error:
        raise DiscoveryError(f"{_name(plan)} cannot be asked for its tools: {_reason(error)}.") from None
    calls = [
        call if call.headers is not None else msgspec.structs.replace(call, headers=known.get(call.tool, {}))
        for call in plan.calls
    ]
    return msgspec.structs.replace(plan, calls=calls)


def _headers_by_tool(plan: Plan) -> dict[str, dict[str, list[str]]]:
    """What each tool asks for. A server that does not tell asks for nothing."""
    found: dict[str, dict[str, list[str]]] = {}
    cursor: str | None = None
    for _ in range(_PAGES_MOST):
        _, answer = _over_http(plan, list_tools(_site(plan), cursor))
        page = msgspec.convert((answer and answer.result) or {}, _Tools)
        found.update({tool.name: headers_of(tool.inputSchema) for tool in page.tools})
        cursor = page.nextCursor
        if cursor is None:
            break
    return found


def _stateless(plan: Plan) -> Plan:
    kind = "stateless" if plan.connection == "auto" else plan.connection
    return msgspec.structs.replace(plan, protocol=STATELESS_REVISION, connection=kind)


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
    if plan.transport == "http":
        _, answer = _over_http(plan, StatelessRequests(_site(plan), None, None).discover)
    else:
        answer = _over_messages(plan, discover_request())
    versions = (answer.result or {}).get("supportedVersions") if answer else None
    return isinstance(versions, list) and STATELESS_REVISION in versions


def _session_revision(plan: Plan) -> str:
    hint = ""
    if plan.transport == "http":
        status, found = _over_http(plan, SessionRequests(_site(plan), _NEWEST, None).initialize)
        if status in (401, 403) and plan.token is None:
            hint = _TOKEN_HINT
        answer = found or _Answer(error={"message": f"HTTP {status}"})
    else:
        answer = _over_messages(plan, initialize_request(_NEWEST))
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


def _over_messages(plan: Plan, request: bytes) -> _Answer:
    """The answer where the transport has messages only."""
    if plan.transport == "stdio":
        return _of_process(plan, request)
    with _connected(plan) as connection:
        if plan.transport == "websocket":
            return _first(_frames(plan, connection, request))
        connection.sendall(request)
        return _first(_lines(connection))


def _lines(connection: socket.socket) -> Iterator[bytes]:
    with connection.makefile("rb") as lines:
        yield from iter(lambda: lines.readline(_ANSWER_BOUND_BYTES), b"")


def _frames(plan: Plan, connection: socket.socket, request: bytes) -> Iterator[bytes]:
    """What comes over a WebSocket after the request."""
    handshake = Handshake(_site(plan))
    connection.sendall(handshake.request)
    behind = None
    try:
        while behind is None and (data := connection.recv(1 << 16)):
            behind = handshake.received(data)
    except HandshakeRefusedError as error:
        hint = _TOKEN_HINT if error.status in (401, 403) and plan.token is None else ""
        raise DiscoveryError(f"{_name(plan)} answers the handshake with HTTP {error.status}{hint}.") from None
    connection.sendall(masked(Opcode.TEXT, request.rstrip(b"\n")))
    rest, message = behind or b"", b""
    while data := connection.recv(1 << 16):
        found, rest = frames(rest + data, _ANSWER_BOUND_BYTES)
        for frame in found:
            if frame.opcode in (Opcode.TEXT, Opcode.CONTINUATION):
                message += frame.payload
                if frame.final:
                    yield message
                    message = b""


def _of_process(plan: Plan, request: bytes) -> _Answer:
    """The answer of a process of the first target, which ends with it."""
    ours, its = socket.socketpair()
    command = plan.targets[0].command
    with ours, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=its.fileno(), process_group=0) as process:
        try:
            its.close()
            ours.settimeout(plan.timeout_s)
            assert process.stdin is not None
            process.stdin.write(request)
            process.stdin.flush()
            answer = _first(_lines(ours))
            process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return answer


def _first(messages: Iterable[bytes]) -> _Answer:
    """The first answer among the messages."""
    for message in messages:
        answer = _read(message)
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

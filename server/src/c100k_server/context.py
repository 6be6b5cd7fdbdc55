"""What a function that serves a request can know about it and do with it: a parameter annotated `Context`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from c100k_server.authentication import Principal
from c100k_server.errors import ToolError
from c100k_server.json_schema import object_schema
from c100k_server.registry.access import ContextRegistry
from c100k_server.state.values import SessionValues

if TYPE_CHECKING:
    from c100k_server.request import Request
    from c100k_server.state.handles import Handles

LogLevel: TypeAlias = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Ask(msgspec.Struct, frozen=True):
    """Something to ask the client: made by `elicit`, `sample` and `roots`."""

    method: str
    capability: str
    params: dict[str, Any]

    def is_answered_by(self, answer: object) -> bool:
        """Whether an answer of the client has the shape of one to this."""
        if not isinstance(answer, dict):
            return False
        if self.method == "elicitation/create":
            known = answer.get("action") in ("accept", "decline", "cancel")
            return known and isinstance(answer.get("content", {}), dict)
        if self.method == "roots/list":
            roots = answer.get("roots")
            return isinstance(roots, list) and all(isinstance(root, dict) and "uri" in root for root in roots)
        return "content" in answer and "role" in answer


class Elicited(msgspec.Struct):
    """What the user did with a form, and what they filled in if they accepted."""

    action: Literal["accept", "decline", "cancel"]
    content: dict[str, Any] = {}


def elicitation(message: str, schema: Mapping[str, Any] | type) -> Ask:
    """Ask the user to fill in a form: a JSON Schema, or a type with flat fields."""
    requested = object_schema(schema) if isinstance(schema, type) else dict(schema)
    return Ask("elicitation/create", "elicitation", {"message": message, "requestedSchema": requested})


def sampling(messages: str | Sequence[Mapping[str, Any]], max_tokens: int, **options: Any) -> Ask:
    """Ask the client's model; `options` are further params of sampling/createMessage, as the protocol spells them."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": {"type": "text", "text": messages}}]
    return Ask("sampling/createMessage", "sampling", {"messages": messages, "maxTokens": max_tokens, **options})


ROOTS = Ask("roots/list", "roots", {})


class Context:
    """One request. What it sends goes to the client that made the request, in order, before the answer."""

    __slots__ = ("_request",)

    def __init__(self, request: Request) -> None:
        self._request = request

    @property
    def protocol_version(self) -> str:
        return self._request.version

    @property
    def session_id(self) -> str | None:
        """None where there are no sessions: in 2026-07-28, and on a connection that is a session by itself."""
        return self._request.session_id

    @property
    def principal(self) -> Principal | None:
        """Whose bearer token the client has shown: what the app's `verify` returned for it; with `--token-file` a name
        made of a digest of the token. None where no token is asked for."""
        return self._request.outlet.principal

    @property
    def session(self) -> SessionValues:
        """What the app remembers of this session: JSON values by name. In a cluster they are on two hosts before the
        request is answered, and go where the session goes.

        Raises `ToolError` in 2026-07-28, which has no sessions.
        """
        session = self._request.session
        if session is None:
            raise ToolError("there are no sessions in 2026-07-28; this needs a client of an elder revision")
        self._request.uses_session = True
        return session.values

    @property
    def handles(self) -> Handles:
        """What is kept for this client under ids that it brings along, for those that have no session."""
        # Most apps use none.
        from c100k_server.state.handles import Handles

        store = self._request.service.store
        return Handles(None if store is None else store.redis, self._request.outlet.client)

    @property
    def registry(self) -> ContextRegistry:
        """Names of sessions: unique in a cluster, and found and reached from all of its nodes."""
        return ContextRegistry(self._request)

    @property
    def lifespan(self) -> Any:
        """What the app's lifespan yielded in this worker."""
        return self._request.service.lifespan

    def client_supports(self, capability: str) -> bool:
        """Whether the client has declared a capability: `elicitation`, `sampling`, `roots`."""
        return capability in self._request.capabilities

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Tell how far the request is, if the client wants to know. Thread-safe.

        In a task the message is also what the client finds when it asks for the state of the task.
        """
        if message is not None:
            self._request.describe(message)
        token = self._request.progress_token
        if token is not None:
            params = {"progressToken": token, "progress": progress, "total": total, "message": message}
            self.notify("notifications/progress", **{k: v for k, v in params.items() if v is not None})

    def log(self, level: LogLevel, data: object, logger: str | None = None) -> None:
        """Send a log message, if the client wants those of this level. Thread-safe."""
        if self._request.wants_log(level):
            self.notify("notifications/message", **({"logger": logger} if logger else {}), level=level, data=data)

    def notify(self, method: str, **params: Any) -> None:
        """Send a notification, unless the client reads too slowly. Thread-safe."""
        self._request.notify(method, params)

    async def elicit(self, message: str, schema: Mapping[str, Any] | type, *, key: str | None = None) -> Elicited:
        """Ask the user to fill in a form.

        In 2026-07-28 the client is asked by an answer, and calls again: the function then runs anew from its start,
        and what was asked before returns at once. So ask in the same order, and act after the last question.
        `key` names the question; without it, its number does. In a task nothing runs anew: the task waits.
        """
        return msgspec.convert(await self._one(elicitation(message, schema), key), Elicited)

    async def sample(
        self, messages: str | Sequence[Mapping[str, Any]], *, max_tokens: int, key: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Have the client's model answer; the result of sampling/createMessage. See `elicit` for `key`."""
        return await self._one(sampling(messages, max_tokens, **options), key)

    async def roots(self, *, key: str | None = None) -> list[dict[str, Any]]:
        """The client's roots. See `elicit` for `key`."""
        found: list[dict[str, Any]] = (await self._one(ROOTS, key))["roots"]
        return found

    async def ask(self, questions: Mapping[str, Ask]) -> dict[str, dict[str, Any]]:
        """Ask several things at once: `elicitation(...)`, `sampling(...)` and `ROOTS` by key; the results by key."""
        return await self._request.ask(questions)

    async def start_task(self) -> None:
        """Go on as a task from here: the client gets its answer, the id of the task. For tools with `asks_first`;
        where the call is a task already, or is not to become one, this does nothing."""
        await self._request.start_task()

    def close_stream(self) -> None:
        """Close the SSE stream of this request, if it has one that the client can resume, to free its connection
        while the request goes on. Elsewhere this does nothing."""
        self._request.outlet.close_stream()

    async def _one(self, question: Ask, key: str | None) -> dict[str, Any]:
        key = key or self._request.next_key()
        return (await self._request.ask({key: question}))[key]

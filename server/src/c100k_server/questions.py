"""What a session asks its client: sampling, elicitation, roots."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from c100k_server.jsonrpc import BUSY, INVALID_PARAMS, RequestError, RequestId, readable_id, request_line
from c100k_server.outlet import Outlet

# How long a client may take to answer a question that a person has to read.
ANSWER_TIMEOUT_S = 600.0


class Questions:
    """The questions of one session that have no answer yet."""

    __slots__ = ("_asked", "_input_ended", "_next_id")

    def __init__(self) -> None:
        self._asked: dict[RequestId, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 0
        self._input_ended = False

    def ask(self, method: str, params: Mapping[str, Any], outlet: Outlet) -> asyncio.Future[dict[str, Any]]:
        """The result, or a `RequestError`. A question that could not be sent has its answer already."""
        self._next_id += 1
        request_id = f"server-{self._next_id}"
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[dict[str, Any]] = loop.create_future()
        self._asked[request_id] = answer
        timer = loop.call_later(ANSWER_TIMEOUT_S, _refuse, answer, f"the client did not answer in {ANSWER_TIMEOUT_S} s")

        def forget(_: object) -> None:
            timer.cancel()
            self._asked.pop(request_id, None)

        answer.add_done_callback(forget)
        if self._input_ended or not outlet.send(request_line(request_id, method, params)):
            _refuse(answer, "the client cannot be asked: it is gone, or does not read")
        return answer

    def end_input(self) -> None:
        """The client has closed its sending side: what waits for its answers waits in vain."""
        self._input_ended = True
        for answer in self._asked.values():
            _refuse(answer, "the client closed its sending side before it answered")

    def answered(self, message: dict[str, Any]) -> None:
        """The client answers. Answers are never answered, not even those to no question."""
        answer = self._asked.get(readable_id(message) or "")
        if answer is None or answer.done():
            return
        result = message.get("result")
        if isinstance(result, dict):
            answer.set_result(result)
        else:
            error = message.get("error")
            reason = error.get("message") if isinstance(error, dict) else None
            answer.set_exception(RequestError(INVALID_PARAMS, f"the client refused: {reason}"))


def _refuse(answer: asyncio.Future[dict[str, Any]], reason: str) -> None:
    """Fail a question that the client will not answer."""
    if not answer.done():
        answer.set_exception(RequestError(BUSY, reason))

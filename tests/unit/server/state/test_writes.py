"""What is written to Redis in which order, and again when it fails; Redis is a stub that answers when it is told to."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from c100k_server.redis import Script
from c100k_server.state.stored_session import Profile, StoredSession


class StubRedis:
    """`asked` are the scripts that have no answer yet, with their arguments."""

    healthy = True

    def __init__(self) -> None:
        self.asked: list[tuple[Script, Any, asyncio.Future[Any]]] = []

    def script(self, script: Script, _keys: Any, args: Any, **_options: Any) -> asyncio.Future[Any]:
        answer = asyncio.get_running_loop().create_future()
        self.asked.append((script, args, answer))
        return answer

    async def answer(self, reply: Any) -> tuple[Script, Any]:
        """Answer the first one."""
        script, args, answer = self.asked.pop(0)
        if isinstance(reply, Exception):
            answer.set_exception(reply)
        else:
            answer.set_result(reply)
        await asyncio.sleep(0)
        return script, args


def stored(redis: StubRedis) -> StoredSession:
    store: Any = SimpleNamespace(redis=redis, lease_ms=3000)
    return StoredSession(store, "s", "a/0.1.1", Profile("2025-11-25"))


def test_one_write_of_a_session_is_under_way_at_a_time() -> None:
    async def play() -> None:
        redis = StubRedis()
        session = stored(redis)

        def again(_: Exception | None) -> None:
            session.settle(lambda _: None)

        session.settle(again)
        session.settle(again)
        session.settle(again)
        await redis.answer(b"OK")
        await redis.answer(b"OK")
        assert len(redis.asked) == 1

    asyncio.run(play())

"""What is written to Redis in which order, and again when it fails; Redis is a stub that answers when it is told to."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from c100k_server.redis import Script, StateUnavailableError
from c100k_server.registry import mail as mail_module
from c100k_server.registry.mail import Mail
from c100k_server.registry.scripts import GONE, REGISTER, RENEW
from c100k_server.registry.shared import SharedRegistry
from c100k_server.state import store as store_module
from c100k_server.state.scripts import FENCED
from c100k_server.state.store import BEATS_PER_S, CONFIRM_AFTER_S, CONFIRMATIONS, SessionStore
from c100k_server.state.stored_session import Profile, StoredSession


class StubRedis:
    """`asked` are the scripts that have no answer yet, with their arguments. `durable` says of each, in their order,
    whether a replica was to have it."""

    healthy = True

    def __init__(self) -> None:
        self.asked: list[tuple[Script, Any, asyncio.Future[Any]]] = []
        self.durable: list[bool] = []

    def script(
        self, script: Script, _keys: Any, args: Any, *, durable: bool = False, **_options: Any
    ) -> asyncio.Future[Any]:
        answer = asyncio.get_running_loop().create_future()
        self.asked.append((script, args, answer))
        self.durable.append(durable)
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


def claimed_from(redis: StubRedis) -> tuple[SessionStore, list[Any]]:
    """A store that has asked for a session, and what it says of it."""
    any_redis: Any = redis
    store = SessionStore(any_redis, "a", 0, 1, 600.0, lambda _worker, _boot: True, lambda: True)
    outcomes: list[Any] = []
    store.claim("s", b"0-0", outcomes.append)
    return store, outcomes


def beats(store: SessionStore, seconds: float) -> None:
    for _ in range(int(seconds * BEATS_PER_S)):
        store.beat()


def test_what_was_claimed_is_confirmed_once_and_while_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # It is the last one whose lease is renewed.
    monkeypatch.setattr(store_module.random, "randrange", lambda places: places - 1)

    async def play(*, forgotten: bool) -> list[bool]:
        redis = StubRedis()
        store, outcomes = claimed_from(redis)
        await redis.answer([b"b/0.1.1", [b"p", b'{"version":"2025-11-25"}', b"v", b"0"], []])
        if forgotten:
            store.forget(outcomes[0].session)
        beats(store, CONFIRM_AFTER_S - 1)
        assert not redis.asked
        for reply in (StateUnavailableError("gone"), b"OK"):
            beats(store, CONFIRM_AFTER_S)
            if redis.asked:
                await redis.answer(reply)
        beats(store, 2 * CONFIRM_AFTER_S)
        return redis.durable

    assert asyncio.run(play(forgotten=False)) == [False, True, True]
    assert asyncio.run(play(forgotten=True)) == [False]


def test_who_has_gone_meanwhile_keeps_nobody_waiting_to_be_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module.random, "randrange", lambda places: places - 1)

    async def play() -> list[bool]:
        redis = StubRedis()
        store, outcomes = claimed_from(redis)
        for number in range(3 * CONFIRMATIONS):
            store.claim(f"s{number}", b"0-0", outcomes.append)
        for _ in range(3 * CONFIRMATIONS + 1):
            await redis.answer([b"b/0.1.1", [b"p", b'{"version":"2025-11-25"}', b"v", b"0"], []])
        for outcome in outcomes[:-1]:
            store.forget(outcome.session)
        beats(store, CONFIRM_AFTER_S)
        return redis.durable

    assert asyncio.run(play())[-2:] == [False, True]


def test_that_there_is_no_session_is_not_for_one_master_to_say() -> None:
    async def play() -> None:
        redis = StubRedis()
        _, outcomes = claimed_from(redis)
        await redis.answer(None)
        assert (outcomes, redis.durable) == ([], [False, True])
        await redis.answer(None)
        assert outcomes == [None]

    asyncio.run(play())


def test_a_session_that_another_claims_before_its_messages_are_confirmed_is_not_held() -> None:
    async def play() -> None:
        redis = StubRedis()
        store, outcomes = claimed_from(redis)
        await redis.answer([b"b/0.1.1", [b"p", b'{"version":"2025-11-25"}', b"v", b"0"], [[b"1-1", [b"m", b"{}"]]]])
        assert outcomes == []
        await redis.answer(FENCED)
        assert isinstance(outcomes[0], StateUnavailableError)
        assert (len(store), store.figures.claimed) == (0, 0)

    asyncio.run(play())


def test_a_name_that_cannot_be_had_again_is_no_error() -> None:
    async def play() -> None:
        redis, errors = StubRedis(), list[Any]()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: errors.append(context))
        session = stored(redis)
        session.set_name("name", b"[1]")
        store: Any = SimpleNamespace(redis=redis, lease_ms=3000, names={"name": session})
        stub: Any = SimpleNamespace(loop=loop)
        registry = SharedRegistry(stub, store, "a", stub, stub)
        registry.renew(session)
        assert (await redis.answer(GONE))[0] is RENEW
        assert (await redis.answer(StateUnavailableError("away")))[0] is REGISTER
        gc.collect()
        assert errors == []

    asyncio.run(play())


def test_hints_that_wait_for_redis_are_so_many_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail_module, "UNSENT_MAX", 3)

    async def play() -> None:
        redis = StubRedis()
        service: Any = SimpleNamespace(loop=asyncio.get_running_loop())
        store: Any = SimpleNamespace(redis=redis, life="a/0.1", held={})
        mail = Mail(service, store)
        for number in range(5):
            mail.hint("b/0.1.7", f"s{number}")
        await asyncio.sleep(0)
        await redis.answer(StateUnavailableError("away"))
        mail.beat()
        _, (_, *session_ids) = await redis.answer(b"OK")
        assert len(session_ids) == 3

    asyncio.run(play())

"""Handles, and what is left for the client of a session, against a real cluster."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from c100k_server.cli import read_arguments
from c100k_server.config import Address, ServeConfig
from c100k_server.errors import ToolError
from c100k_server.redis.cluster import Cluster, Settings
from c100k_server.state.handles import HandleConflictError, Handles
from c100k_server.state.store import Claim, Claimed, SessionStore
from c100k_server.state.stored_session import Profile
from c100k_server.task_store import Owner

ANYBODY = Owner("address", "127.0.0.1")
PAGE = Path(__file__).parents[4] / "docs" / "cluster.md"


def with_redis(redis: Any, test: Callable[[Cluster], Awaitable[None]]) -> None:
    async def run() -> None:
        cluster = Cluster(Settings(tuple(Address.parse(seed) for seed in redis.seeds.split(","))))
        await cluster.start()
        try:
            await test(cluster)
        finally:
            await cluster.close()

    uvloop.run(run())


def test_a_handle_is_opened_updated_and_closed_anywhere(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        minted = await Handles(cluster, ANYBODY).mint({"step": 1})
        elsewhere = Handles(cluster, Owner("address", "10.0.0.9"))
        opened = await elsewhere.open(minted.id)
        assert opened == minted
        updated = await elsewhere.update(opened, {"step": 2})
        with pytest.raises(HandleConflictError, match="version 2 by now, not 1"):
            await elsewhere.update(minted, {"step": 3})
        assert await elsewhere.open(minted.id) == updated
        await elsewhere.close(updated)
        for gone in (minted.id, "no{such}"):
            with pytest.raises(ToolError, match="there is no handle"):
                await elsewhere.open(gone)
        with pytest.raises(ToolError, match="65536 bytes"):
            await elsewhere.mint("x" * 70_000)

    with_redis(redis, test)


def test_a_handle_belongs_to_its_principal_and_expires(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        mine, theirs = Handles(cluster, Owner("bearer", "me")), Handles(cluster, Owner("bearer", "you"))
        handle = await mine.mint([1])
        with pytest.raises(ToolError, match="there is no handle"):
            await theirs.open(handle.id)
        with pytest.raises(ToolError, match="there is no handle"):
            await theirs.update(handle, [2])
        short = await mine.mint([1], lifetime_s=0.05)
        await asyncio.sleep(0.2)
        with pytest.raises(ToolError, match="there is no handle"):
            await mine.open(short.id)

    with_redis(redis, test)


def test_what_was_posted_comes_with_the_claim(redis: Any) -> None:
    async def test(cluster: Cluster) -> None:
        one, other = (
            SessionStore(cluster, node, 0, 1, 600.0, lambda worker, boot: True, lambda: True)
            for node in ("one", "other")
        )
        session_id = one.new_id()
        created: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        one.create(session_id, Profile("2025-11-25"), created.set_result)
        session = await created
        session.set_name("me", b"[null,null]")
        settled: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        session.settle(settled.set_result)
        assert await settled is None
        first, owner = await other.post(session_id, "me", b'{"method":"a"}')
        second, _ = await other.post(session_id, "me", b'{"method":"b"}')
        assert first < second
        assert owner.decode() == session.owner
        assert await other.post(session_id, "you", b"{}") is None
        assert await other.post(one.new_id(), "me", b"{}") is None
        claimed: asyncio.Future[Claim] = asyncio.get_running_loop().create_future()
        other.claim(session_id, first, claimed.set_result)
        outcome = await claimed
        assert isinstance(outcome, Claimed)
        assert outcome.messages == [(second, b'{"method":"b"}')]
        refused: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        session.settle(refused.set_result)
        assert "elsewhere" in str(await refused)
        assert (len(one), len(other)) == (0, 1)

    with_redis(redis, test)


def test_the_commands_of_the_page_are_understood() -> None:
    commands = re.findall(r"^c100k-server (.*)$", PAGE.read_text(), re.MULTILINE)
    configs = [read_arguments(shlex.split(command)) for command in commands]
    nodes = [config.state.node for config in configs if isinstance(config, ServeConfig) and config.state]
    assert nodes == ["one", "two"]

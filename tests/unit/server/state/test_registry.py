"""Names of sessions, from all nodes of a cluster: real servers on a Redis Cluster."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

NAME_TAKEN = -32005
NAME_NOT_FOUND = -32006
STATE_UNAVAILABLE = -32010
INTERNAL_ERROR = -32603
DEADLINE_S = 10.0
OFFER = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"experimental": {"c100k/resume": {}, "c100k/registry": {}}},
    "clientInfo": {"name": "test", "version": "0"},
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
}


class Agent:
    """A client with a session that outlives its connections. What it is told meanwhile is in `heard`."""

    def __init__(self, server: Any) -> None:
        self.heard: list[Any] = []
        self.connect(server)
        result = self.request("initialize", OFFER)["result"]
        self.id: str = result["_meta"]["c100k/sessionId"]
        self.event_id: str = result["_meta"]["c100k/eventId"]

    def connect(self, server: Any) -> None:
        self.client = server.connect(initialized=False)

    def request(self, method: str, params: Any) -> Any:
        self.client.send({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        while True:
            message = self.client.receive()
            if message is None or "method" not in message:
                return message
            self._hear(message)

    def registry(self, method: str, **params: Any) -> Any:
        """The result, or the code of the error."""
        answer = self.request(f"c100k/registry/{method}", params)
        return answer["result"] if "result" in answer else answer["error"]["code"]

    def resume(self, server: Any) -> Any:
        self.connect(server)
        answer = self.request("c100k/resume", {"sessionId": self.id, "lastEventId": self.event_id})
        return answer["result"] if "result" in answer else answer["error"]["code"]

    def listen(self, method: str) -> Any:
        """The params of the next notification of a method."""
        while True:
            for position, message in enumerate(self.heard):
                if message["method"] == method:
                    return self.heard.pop(position)["params"]
            message = self.client.receive()
            assert message is not None
            self._hear(message)

    def _hear(self, message: Any) -> None:
        self.heard.append(message)
        self.event_id = message["params"].get("_meta", {}).get("c100k/eventId", self.event_id)


class HttpAgent:
    """A session of Streamable HTTP."""

    def __init__(self, server: Any) -> None:
        self._headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
        response = self._ask(server, "POST", {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OFFER})
        self._headers["Mcp-Session-Id"] = response[1]["Mcp-Session-Id"]

    def registry(self, server: Any, method: str, **params: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": f"c100k/registry/{method}", "params": params}
        return self._ask(server, "POST", message)[2]["result"]

    def delete(self, server: Any) -> int:
        return self._ask(server, "DELETE", None)[0]

    @contextmanager
    def stream(self, server: Any) -> Iterator[Iterator[Any]]:
        """The messages of a GET stream."""
        connection = http.client.HTTPConnection(*server.http, timeout=DEADLINE_S)
        connection.request("GET", "/mcp", headers=self._headers)
        with connection.getresponse() as response:
            assert response.status == 200
            lines = iter(response.readline, b"")
            yield (json.loads(line[6:]) for line in lines if line.startswith(b"data: {"))
        connection.close()

    def _ask(self, server: Any, method: str, message: Any) -> tuple[int, Any, Any]:
        connection = http.client.HTTPConnection(*server.http, timeout=DEADLINE_S)
        connection.request(method, "/mcp", json.dumps(message) if message else None, self._headers)
        response = connection.getresponse()
        data = response.read()
        connection.close()
        return response.status, response.headers, json.loads(data) if data else None


def lookups(server: Any, source: str) -> float:
    """How many look-ups found their answer there."""
    name = f'registry_lookup_seconds_count{{worker="0",source="{source}"}}'
    return float(server.metrics().get(name, 0))


def soon(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not within {DEADLINE_S} s"
        time.sleep(0.02)


def died(server: Any) -> None:
    """All its processes at once, so that nobody says goodbye."""
    pids = list(server.pids.values())
    server.process.kill()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()


def apart_from(agent: Agent, redis: Any) -> tuple[str, int]:
    """A name that another master has than the session of the agent, and that master."""
    session_at = redis.master_of(f"c100k:s:{{{agent.id}}}")
    # Names of agents of earlier tests are still had.
    own = (f"{agent.id} {number}" for number in range(100))
    names = ((name, redis.master_of(f"c100k:r:{name}")) for name in own)
    return next((name, master) for name, master in names if master != session_at)


@contextmanager
def no_names_on(master: int, redis: Any) -> Iterator[None]:
    """The master refuses to write names."""
    redis.command(master, "ACL", "SETUSER", "default", "-hset")
    try:
        yield
    finally:
        redis.command(master, "ACL", "SETUSER", "default", "+hset")


@pytest.fixture
def two(nodes: Callable[..., Any]) -> tuple[Any, Any]:
    with ThreadPoolExecutor() as threads:
        first, second = threads.map(nodes, "ab")
    return first, second


def test_of_all_who_register_a_name_at_once_one_has_it(nodes: Callable[..., Any]) -> None:
    with ThreadPoolExecutor(16) as threads:
        servers = list(threads.map(nodes, "abcd"))
        agents = list(threads.map(Agent, servers * 4))
        for name in ("contested 1", "contested 2", "contested 3"):
            outcomes = list(threads.map(lambda agent, name=name: agent.registry("register", name=name), agents))
            won = [outcome for outcome in outcomes if outcome != NAME_TAKEN]
            assert len(won) == 1
            assert outcomes.count(NAME_TAKEN) == len(agents) - 1
            for agent in agents:
                found = agent.registry("find", name=name)
                assert found == {"name": name, "node": won[0]["node"], "value": None, "found": True}
        # To register again what one has is no conflict.
        winner = agents[next(position for position, outcome in enumerate(outcomes) if outcome != NAME_TAKEN)]
        assert winner.registry("register", name="contested 3", value={"v": 2})["name"] == "contested 3"


def test_a_name_ends_when_its_session_does(two: tuple[Any, Any]) -> None:
    first, second = two
    client = HttpAgent(first)
    assert client.registry(first, "register", name="short")["name"] == "short"
    seeker = Agent(second)
    assert seeker.registry("find", name="short")["found"]
    assert client.delete(first) == 204
    soon(lambda: seeker.registry("find", name="short") == {"name": "short", "found": False})
    assert seeker.registry("register", name="short")["node"] == "b"
    assert seeker.registry("list", prefix="short") == {"names": ["short"]}


def test_names_outlive_their_node(two: tuple[Any, Any]) -> None:
    first, second = two
    owner, other = Agent(first), Agent(second)
    owner.registry("register", name="kept", value=[1, {"x": "y"}])
    assert other.registry("find", name="kept")["node"] == "a"
    died(first)
    assert other.registry("register", name="kept") == NAME_TAKEN
    owner.resume(second)
    soon(lambda: other.registry("find", name="kept").get("node") == "b")
    assert other.registry("find", name="kept")["value"] == [1, {"x": "y"}]
    assert owner.registry("unregister", name="kept") == {}
    assert other.registry("register", name="kept")["node"] == "b"


def test_a_name_follows_its_session_though_that_cannot_be_said_at_once(two: tuple[Any, Any], redis: Any) -> None:
    first, second = two
    owner, other = Agent(first), Agent(second)
    name, master = apart_from(owner, redis)
    owner.registry("register", name=name)
    assert other.registry("find", name=name)["node"] == "a"
    with no_names_on(master, redis):
        owner.resume(second)
        time.sleep(1.5)
        assert redis.command(master, "HGET", f"c100k:r:{name}", "n") == b"a"
    soon(lambda: redis.command(master, "HGET", f"c100k:r:{name}", "n") == b"b")


def test_a_name_follows_its_session_though_a_change_of_it_fails_meanwhile(two: tuple[Any, Any], redis: Any) -> None:
    first, second = two
    owner = Agent(first)
    name, master = apart_from(owner, redis)
    owner.registry("register", name=name, value="old")
    with no_names_on(master, redis), ThreadPoolExecutor() as threads:
        owner.resume(second)
        # So long it is under way: longer than from one announcement to the next, and less than it may take.
        redis.command(master, "CLIENT", "PAUSE", 1500, "WRITE")
        changed = threads.submit(owner.registry, "register", name=name, value="new")
        assert changed.result() == INTERNAL_ERROR
        assert redis.command(master, "HGET", f"c100k:r:{name}", "n") == b"a"
    soon(lambda: redis.command(master, "HGET", f"c100k:r:{name}", "n") == b"b")
    assert b"old" in redis.command(master, "HGET", f"c100k:r:{name}", "r")


def test_what_is_acknowledged_stays_when_leases_are_renewed(nodes: Callable[..., Any], redis: Any) -> None:
    agent = Agent(nodes("a", "--session-lease-s", "3"))
    agent.registry("register", name="renewed", value="old")
    key = "c100k:r:renewed"
    master = redis.master_of(key)
    (replica,) = redis.replicas_of(master)
    with ThreadPoolExecutor() as threads:
        # The acknowledgement of the replica takes longer than from one renewal to the next.
        redis.pause(replica)
        changed = threads.submit(agent.registry, "register", name="renewed", value="new")
        time.sleep(1.2)
        redis.resume(replica)
        assert changed.result()["name"] == "renewed"
    assert b"new" in redis.command(master, "HGET", key, "r")
    # A lease that was lost is had again.
    redis.command(master, "DEL", key)
    soon(lambda: agent.registry("find", name="renewed")["found"] and redis.command(master, "EXISTS", key))
    assert b"new" in redis.command(master, "HGET", key, "r")


def test_messages_reach_names_on_other_nodes(two: tuple[Any, Any]) -> None:
    first, second = two
    one, other = Agent(first), Agent(second)
    one.registry("register", name="one")
    other.registry("register", name="other")
    for sender, receiver, name in ((one, other, "other"), (other, one, "one"), (one, one, "one")):
        assert sender.registry("route", name=name, message={"to": name}) == {}
        told = receiver.listen("notifications/c100k/message")
        assert (told["name"], told["message"]) == (name, {"to": name})
        assert "c100k/eventId" in told["_meta"]
    for number in range(50):
        assert one.registry("route", name="other", message=number) == {}
    assert [other.listen("notifications/c100k/message")["message"] for _ in range(50)] == list(range(50))
    assert one.registry("route", name="nobody", message=0) == NAME_NOT_FOUND


def test_messages_wait_for_who_is_away(two: tuple[Any, Any]) -> None:
    first, second = two
    away, sender = Agent(first), Agent(second)
    away.registry("register", name="away")
    died(first)
    for number in range(3):
        assert sender.registry("route", name="away", message=number) == {}
    assert away.resume(second)["missed"] == 3
    assert [away.listen("notifications/c100k/message")["message"] for _ in range(3)] == [0, 1, 2]
    # Then there is nothing that it has not seen, and it stays where it is.
    again = away.resume(second)
    assert (again["missed"], again["eventId"].split("/")[0]) == (0, away.event_id.split("/")[0])


def test_messages_are_told_when_a_replica_has_them(two: tuple[Any, Any], patient_redis: Any) -> None:
    first, second = two
    away, sender = Agent(first), Agent(second)
    away.registry("register", name="waiting")
    died(first)
    assert sender.registry("route", name="waiting", message=0) == {}
    replica = patient_redis.replicas_of(patient_redis.master_of(f"c100k:s:{{{away.id}}}"))[0]
    patient_redis.pause(replica)
    assert away.resume(second) == STATE_UNAVAILABLE
    patient_redis.resume(replica)
    assert away.resume(second)["missed"] == 1


def test_messages_reach_streams_of_http(two: tuple[Any, Any]) -> None:
    first, second = two
    client, sender = HttpAgent(first), Agent(second)
    client.registry(first, "register", name="web")
    # There is no stream yet: it waits.
    assert sender.registry("route", name="web", message=1) == {}
    with client.stream(first) as messages:
        assert next(messages)["params"]["message"] == 1
        assert sender.registry("route", name="web", message=2) == {}
        assert next(messages)["params"]["message"] == 2


def test_all_who_want_to_hear_a_broadcast(nodes: Callable[..., Any]) -> None:
    with ThreadPoolExecutor() as threads:
        servers = list(threads.map(nodes, "abc"))
    agents = [Agent(server) for server in servers for _ in range(3)]
    plain = servers[1].connect()
    agents[0].registry("broadcast", message={"n": 1})
    for agent in agents:
        assert agent.listen("notifications/c100k/broadcast")["message"] == {"n": 1}
    # Others would not know what it is.
    assert "result" in plain.echo("still")
    missed = agents[0]
    missed.client.socket.close()
    agents[1].registry("broadcast", message={"n": 2})
    assert missed.resume(servers[2])["missed"] == 1
    assert missed.listen("notifications/c100k/broadcast")["message"] == {"n": 2}


def test_what_is_remembered_changes_with_the_name(two: tuple[Any, Any], redis: Any) -> None:
    first, second = two
    one, other, seeker = Agent(first), Agent(first), Agent(second)
    one.registry("register", name="moving", value=1)
    assert seeker.registry("find", name="moving")["value"] == 1
    second.wait_until(lambda: lookups(second, "redis") == 1)
    assert seeker.registry("find", name="moving")["value"] == 1
    second.wait_until(lambda: lookups(second, "cache") == 1)
    one.registry("unregister", name="moving")
    other.registry("register", name="moving", value=2)
    soon(lambda: seeker.registry("find", name="moving").get("value") == 2)
    # What is remembered of a master does not outlive the connection to it.
    redis.kill(redis.master_of("c100k:r:moving"))
    soon(lambda: other.registry("register", name="moving", value=3) != STATE_UNAVAILABLE)
    soon(lambda: seeker.request("c100k/registry/find", {"name": "moving"}).get("result", {}).get("value") == 3)


def test_aliases_lead_to_names(two: tuple[Any, Any]) -> None:
    first, second = two
    blue, green, seeker = Agent(first), Agent(first), Agent(second)
    blue.registry("register", name="blue", value="b")
    green.registry("register", name="green", value="g")
    assert blue.registry("bind", name="live", to="blue") == {"name": "live", "boundTo": "blue", "node": "a"}
    assert seeker.registry("find", name="live") == {
        "name": "live", "node": "a", "value": "b", "boundTo": "blue", "found": True
    }  # fmt: skip
    assert green.registry("bind", name="live", to="green") == NAME_TAKEN
    blue.registry("bind", name="live", to="green")
    soon(lambda: seeker.registry("find", name="live")["value"] == "g")
    assert seeker.registry("route", name="live", message="hello") == {}
    assert green.listen("notifications/c100k/message")["name"] == "green"
    blue.registry("bind", name="live", to="live")
    soon(lambda: not seeker.registry("find", name="live")["found"])


def test_names_are_listed_in_pages(two: tuple[Any, Any]) -> None:
    first, second = two
    owner, seeker = Agent(first), Agent(second)
    names = [f"job/{number:02}" for number in range(20)]
    for name in (*names, "joc", "jo"):
        owner.registry("register", name=name)
    found: list[str] = []
    cursor = None
    while True:
        page = seeker.registry("list", prefix="job/", limit=7, **({"cursor": cursor} if cursor else {}))
        found += page["names"]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
    assert found == names


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("register", {}),
        ("register", {"name": ""}),
        ("register", {"name": "x" * 257}),
        ("register", {"name": "a\nb"}),
        ("register", {"name": "x", "value": "y" * 4096}),
        ("route", {"name": "x", "message": "y" * 4096}),
        ("broadcast", {"message": "y" * 1024}),
        ("bind", {"name": "x", "to": ""}),
        ("list", {"limit": "all"}),
    ],
)
def test_what_is_too_large_or_wrong_is_refused(server: Any, method: str, params: Any) -> None:
    answer = server.connect().request(f"c100k/registry/{method}", params)
    assert answer["error"]["code"] == -32602


def test_a_session_may_have_so_many_names(server: Any) -> None:
    client = server.connect()
    outcomes = [client.request("c100k/registry/register", {"name": f"n{number}"}) for number in range(65)]
    assert ["result" in outcome for outcome in outcomes] == [True] * 64 + [False]
    assert outcomes[-1]["error"]["code"] == -32000
    client.socket.close()


def test_without_redis_names_are_those_of_the_worker(server: Any) -> None:
    one, other = server.connect(), server.connect()
    assert one.request("c100k/registry/register", {"name": "one", "value": 1})["result"]["node"] == "local"
    assert other.request("c100k/registry/register", {"name": "one"})["error"]["code"] == NAME_TAKEN
    assert other.request("c100k/registry/unregister", {"name": "one"})["error"]["code"] == NAME_TAKEN
    assert other.request("c100k/registry/find", {"name": "one"})["result"]["value"] == 1
    assert other.request("c100k/registry/route", {"name": "one", "message": "hi"})["result"] == {}
    assert one.receive()["params"] == {"name": "one", "message": "hi"}
    # In 2026-07-28 there are no sessions to give names to.
    stateless = server.connect(initialized=False)
    found = stateless.request("c100k/registry/find", {"name": "one", "_meta": META})["result"]
    assert (found["resultType"], found["value"]) == ("complete", 1)
    assert stateless.request("c100k/registry/list", {"prefix": "one", "_meta": META})["result"]["names"] == ["one"]
    assert stateless.request("c100k/registry/register", {"name": "x", "_meta": META})["error"]["code"] == -32601
    one.socket.close()
    soon(lambda: not other.request("c100k/registry/find", {"name": "one"})["result"]["found"])


def test_names_need_a_session_that_is_stored(two: tuple[Any, Any]) -> None:
    client = two[0].connect()
    assert client.request("c100k/registry/register", {"name": "x"})["error"]["code"] == -32600
    assert client.request("c100k/registry/find", {"name": "x"})["result"] == {"name": "x", "found": False}


def test_apps_use_the_registry(nodes: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "phonebook.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    server = nodes("a", "phonebook:app")
    agent = Agent(server)

    def call(tool: str) -> Any:
        params = {"name": tool, "arguments": {"name": "alice"}}
        return agent.request("tools/call", params)["result"]["content"][0]["text"]

    assert call("enter") == "a"
    assert call("look") == '{"number":7}'
    assert call("shout") == "true"
    assert agent.listen("notifications/c100k/message")["message"] == "loud"
    second = Agent(server)
    taken = second.request("tools/call", {"name": "enter", "arguments": {"name": "alice"}})["result"]
    assert taken["isError"]


APP = """
from c100k_server import App, Context

app = App("phonebook")


@app.tool
async def enter(name: str, ctx: Context) -> str:
    return await ctx.registry.register(name, {"number": 7})


@app.tool
async def look(name: str) -> str:
    found = await app.registry.find(name)
    return bytes(found.value).decode()


@app.tool
async def shout(name: str) -> bool:
    await app.registry.route(name, "loud")
    return True
"""

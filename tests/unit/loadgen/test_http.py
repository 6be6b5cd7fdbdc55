"""Streamable HTTP in both eras: against the real server, and against one that misbehaves on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .test_scenarios import HOLD_S, MESSAGES, check_complete

if TYPE_CHECKING:
    from tests.unit.loadgen.conftest import Run

CONNECTIONS = 20
# Patient, so that nothing is late on a busy machine.
SESSION: dict[str, Any] = {"transport": "http", "ramp_s": 3, "timeout_s": 5}
STATELESS: dict[str, Any] = {**SESSION, "connection": "stateless", "protocol": "2026-07-28"}
FAN_OUT: dict[str, Any] = {"fan_out": {"every_s": 1, "publish_to": ["node2"]}, "workers": 2}
STREAMED: dict[str, Any] = {**SESSION, **FAN_OUT, "connection": "session_stream"}
LISTEN: dict[str, Any] = {**STATELESS, **FAN_OUT, "connection": "listen", "rate_per_s": 0}


def check_heard(run: Run, listeners: int, *, delivered: int, duplicated: int = 0) -> None:
    """What became of each of the publishes, of which there is one a second of the hold."""
    rows = run.rows("fan-out")
    plan = run.generator["plan"]
    hold_at = plan["start_at"] + plan["ramp_s"] + plan["settle_s"]
    moments = sorted({float(row["moment"]) for row in rows})
    assert moments == [hold_at + 0.5 + number for number in range(HOLD_S)]
    for moment in moments:
        own = [row for row in rows if float(row["moment"]) == moment]
        assert {row["target"] for row in own} == {"node2"}
        counts = [sum(int(row[name]) for row in own) for name in ("listeners", "delivered", "duplicated")]
        assert counts == [listeners, delivered, duplicated]
        assert sum(bool(row["last_ms"]) for row in own) == sum(int(row["delivered"]) > 0 for row in own)
    assert run.histogram("fan_out", "hold").get_total_count() == delivered * HOLD_S


def check_published(run: Run, cause: str = "") -> None:
    rows = run.rows("publishes")
    assert [(row["target"], row["cause"]) for row in rows] == [("node2", cause)] * HOLD_S
    assert all(float(row["slip_ms"]) >= 0 for row in rows)


@pytest.mark.scenario("c100k-server", **SESSION, workers=2)
def test_sessions_of_the_real_server(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == run.causes("close")["stop"] == CONNECTIONS
    assert run.total("sent") == run.total("answered") == MESSAGES
    assert run.server["connections_opened_total"] == CONNECTIONS
    # Each session is opened by a request and a notification, and given up by a DELETE.
    assert run.server["http_requests_total"] == 3 * CONNECTIONS + MESSAGES
    assert run.server["sessions"] == run.server["http_refusals_total"] == run.server["request_errors_total"] == 0


@pytest.mark.scenario("c100k-server", **SESSION, protocol="2025-06-18", payload_bytes=100_000)
def test_sessions_of_an_elder_revision_with_long_texts(run: Run) -> None:
    check_complete(run)
    assert run.total("answered") == MESSAGES


@pytest.mark.scenario("c100k-server", **STATELESS, workers=2)
def test_stateless_connections_of_the_real_server(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == run.causes("close")["stop"] == run.server["connections_opened_total"] == CONNECTIONS
    assert run.total("sent") == run.total("answered") == MESSAGES
    assert run.server["http_requests_total"] == CONNECTIONS + MESSAGES
    assert run.server["sessions"] == run.server["request_errors_total"] == 0


@pytest.mark.scenario("c100k-server", **STREAMED)
def test_sessions_with_streams_of_the_real_server(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == run.causes("close")["stop"] == CONNECTIONS + 1, "and the publisher"
    assert {row["connected"] for row in run.seconds("hold")} == {"10", "11"}
    assert run.total("answered") == MESSAGES
    check_heard(run, CONNECTIONS // 2, delivered=CONNECTIONS // 2)
    check_published(run)
    assert run.server["sessions"] == 0


@pytest.mark.scenario("c100k-server", **LISTEN)
def test_listen_streams_of_the_real_server(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == run.causes("close")["stop"] == CONNECTIONS + 1
    assert run.total("intended") == run.total("errors") == 0
    check_heard(run, CONNECTIONS, delivered=CONNECTIONS)
    check_published(run)
    assert run.histogram("fan_out").get_min_value() > 0


@pytest.mark.scenario("http good", **SESSION)
def test_each_request_has_the_headers_that_it_needs(run: Run) -> None:
    check_complete(run)
    assert run.server["initialize"] == run.server["notifications/initialized"] == CONNECTIONS
    assert run.server["tools/call"] == run.total("answered") == MESSAGES
    assert run.server["wrong_version"] == 0


@pytest.mark.scenario("http good", **STATELESS)
def test_each_stateless_request_says_what_it_is(run: Run) -> None:
    check_complete(run)
    assert run.server["server/discover"] == CONNECTIONS
    assert run.server["tools/call"] == run.total("answered") == MESSAGES
    assert run.server["wrong_version"] == run.server["wrong_method"] == run.server["wrong_name"] == 0


@pytest.mark.scenario("http events", **SESSION)
def test_answers_may_be_streams_of_events(run: Run) -> None:
    check_complete(run)
    assert run.total("answered") == MESSAGES


@pytest.mark.scenario("http chunked", **STATELESS)
def test_answers_may_be_chunked(run: Run) -> None:
    check_complete(run)
    assert run.total("answered") == MESSAGES


@pytest.mark.scenario("http good", **SESSION, connections=2, rate_per_s=2000)
def test_requests_go_out_ahead_of_answers(run: Run) -> None:
    check_complete(run)
    assert run.total("sent") == run.server["tools/call"] == (HOLD_S + 1) * 2000
    assert run.total("answered") + run.total("timeouts") == run.total("sent")
    assert run.total("errors") == 0


@pytest.mark.scenario("http refuses", **SESSION)
def test_calls_that_are_refused(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"bad_status": MESSAGES}
    assert run.causes("close") == {"stop": CONNECTIONS}


@pytest.mark.scenario("http wrong_payload", **STATELESS)
def test_answers_with_a_wrong_text(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"wrong_payload": MESSAGES}


@pytest.mark.scenario("http forgets", **SESSION, settle_s=3)
def test_a_session_that_is_gone_is_initialised_again(run: Run) -> None:
    check_complete(run)
    lost = run.causes("close")["session_lost"]
    assert lost == run.causes("message_error")["session_lost"] > CONNECTIONS
    assert run.causes("close").keys() <= {"session_lost", "stop"}
    assert run.server["initialize"] == run.total("opened") > CONNECTIONS, "until the hold begins"


@pytest.mark.scenario("http forgets", **SESSION, reconnect=True, connections=4)
def test_a_session_that_is_lost_in_the_hold_is_initialised_again_too(run: Run) -> None:
    check_complete(run)
    assert run.total("opened", "hold") > 4
    assert run.server["initialize"] == run.total("opened")
    assert run.causes("message_error", "hold").keys() <= {"session_lost", "not_connected"}


@pytest.mark.scenario("http garbage", **SESSION)
def test_answers_that_are_no_http(run: Run) -> None:
    check_complete(run)
    assert run.causes("close")["garbage"] >= CONNECTIONS
    assert run.causes("message_error")["connection_lost"] == run.total("sent")


@pytest.mark.scenario("http endless", **STATELESS)
def test_answers_that_do_not_say_how_long_they_are(run: Run) -> None:
    check_complete(run)
    assert run.causes("close")["bad_headers"] >= CONNECTIONS


@pytest.mark.scenario("http twice", **SESSION)
def test_an_answer_to_nothing_ends_the_connection(run: Run) -> None:
    check_complete(run)
    assert run.causes("close")["garbage"] == run.total("answered") >= CONNECTIONS


@pytest.mark.scenario("good", transport="http")
def test_a_server_that_speaks_no_http(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == 0
    assert run.causes("connect_error").keys() <= {"closed_in_handshake", "timeout", "bad_handshake"}


@pytest.mark.scenario("http deaf", **{**LISTEN, "timeout_s": 1})
def test_a_stream_is_live_when_it_is_acknowledged(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error").keys() == {"timeout"}
    assert run.total("opened") == 1, "the publisher"
    assert run.rows("fan-out") == []


@pytest.mark.scenario("http good", **LISTEN)
def test_events_in_pieces_are_heard(run: Run) -> None:
    check_complete(run)
    check_heard(run, CONNECTIONS, delivered=CONNECTIONS)


@pytest.mark.scenario("http tells_some", **LISTEN)
def test_notifications_that_never_came(run: Run) -> None:
    check_complete(run)
    check_heard(run, CONNECTIONS, delivered=CONNECTIONS // 2)


@pytest.mark.scenario("http tells_twice", **STREAMED)
def test_notifications_that_came_twice(run: Run) -> None:
    check_complete(run)
    listeners = CONNECTIONS // 2
    check_heard(run, listeners, delivered=listeners, duplicated=listeners)


@pytest.mark.scenario("http hangs_up", **LISTEN)
def test_streams_that_the_server_ends(run: Run) -> None:
    check_complete(run)
    assert run.causes("close") == {"stream_ended": CONNECTIONS, "stop": 1}
    assert [int(row["listeners"]) for row in run.rows("fan-out")].count(10) == 2, "each worker's, at the first publish"
    assert sum(int(row["delivered"]) for row in run.rows("fan-out")) == 0

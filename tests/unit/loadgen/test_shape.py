"""The shape of the load: ramps in steps, stages, heartbeats, thinking, churn and storms, as the files show them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from c100k_loadgen.results import Results, read_results

from .test_scenarios import check_complete

if TYPE_CHECKING:
    from tests.unit.loadgen.conftest import Run

HTTP: dict[str, Any] = {"transport": "http"}
STREAMED: dict[str, Any] = {**HTTP, "connection": "session_stream"}
LISTEN: dict[str, Any] = {**HTTP, "connection": "listen", "protocol": "2026-07-28", "rate_per_s": 0}
STAGES = [
    {"name": "warm", "seconds": 1, "rate_per_s": 40},
    {"name": "peak", "seconds": 2, "rate_per_s": 120},
    {"name": "rest", "seconds": 1, "rate_per_s": 0},
]
CONNECTIONS, SETTLE_S, HOLD_S, RATE = 20, 1, 2, 50


def results_of(run: Run) -> Results:
    """The results of a run whose files agree with each other, in which the generator was not at fault."""
    check_complete(run)
    return read_results(run.output)


def by_second(rows: list[dict[str, str]], *columns: str) -> list[int]:
    """The sum of these columns over all workers, second by second."""
    sums: Counter[int] = Counter()
    for row in rows:
        sums[int(row["t"])] += sum(int(row[column]) for column in columns)
    return [sums[t] for t in sorted(sums)]


@pytest.mark.scenario("good", ramp_steps=4, connections=40, ramp_s=4)
def test_a_ramp_in_steps(run: Run) -> None:
    check_complete(run)
    assert by_second(run.seconds("ramp"), "opened") == [10] * 4
    assert run.server["initialize"] == 40


@pytest.mark.scenario("good", ramp_steps=1, connects_per_s=20, connections=40, ramp_s=3, workers=2)
def test_no_more_connects_than_allowed(run: Run) -> None:
    check_complete(run)
    opened = by_second(run.seconds("ramp"), "opened")
    assert sum(opened) == 40
    assert max(opened) <= 20 + 2, "one more at once for each worker"


@pytest.mark.scenario("c100k-server", **HTTP, stages=STAGES, hold_s=4, workers=2)
def test_stages_have_rates_and_results_of_their_own(run: Run) -> None:
    results = results_of(run)
    assert by_second(run.seconds("hold"), "intended") == [40, 120, 120, 0]
    assert [(s.name, s.seconds, s.intended, s.answered, s.errors) for s in results.stages] == [
        ("warm", 1, 40, 40, 0),
        ("peak", 2, 240, 240, 0),
        ("rest", 1, 0, 0, 0),
    ]
    for tag in ("response", "service", "slip"):
        assert run.histogram(f"{tag}.warm", "hold").get_total_count() == 40
        assert run.histogram(f"{tag}.peak", "hold").get_total_count() == 240
        assert run.histogram(tag, "hold").get_total_count() == 280, "and all of them are the hold's"
        assert run.histogram(tag, "settle").get_total_count() == SETTLE_S * RATE
    assert results.stages[1].rate_per_s == 120
    assert (results.messages.intended, results.hold_s) == (280, 4)


@pytest.mark.scenario("silent", stages=[{**STAGES[0], "rate_per_s": 20}, STAGES[1]], hold_s=3)
def test_what_goes_wrong_is_filed_under_the_stage_it_was_meant_for(run: Run) -> None:
    warm, peak = results_of(run).stages
    assert (warm.causes, peak.causes) == ({"timeout": 20}, {"timeout": 240}), "though all time out a second later"
    assert (warm.error_share, warm.response_ms.samples, warm.answered) == (1, 20, 0)
    assert run.causes("message_error", "hold") == {"timeout": 260}


@pytest.mark.scenario("pongs", heartbeat_s=1.5, workers=2)
def test_every_session_has_its_heartbeat(run: Run) -> None:
    results = results_of(run)
    assert results.pings is not None
    assert (results.pings.sent, results.pings.answered, results.pings.causes) == (40, 40, {})
    assert {run.server[f"pings of {number}"] for number in range(1, CONNECTIONS + 1)} == {2}
    assert min(by_second(run.rows("pings"), "sent")) > 0, "spread over the time, and not two bursts in three seconds"
    assert len(by_second(run.rows("pings"), "sent")) >= SETTLE_S + HOLD_S
    in_hold = run.histogram("ping", "hold").get_total_count()
    assert 20 < in_hold == results.pings.response_ms.samples < 40
    assert in_hold + run.histogram("ping", "settle").get_total_count() == 40
    assert run.total("sent") == run.total("answered") == (SETTLE_S + HOLD_S) * RATE, "they are not among the messages"


@pytest.mark.scenario("good", heartbeat_s=1)
def test_heartbeats_without_an_answer(run: Run) -> None:
    results = results_of(run)
    assert results.pings is not None
    assert (results.pings.answered, results.pings.causes) == (0, {"timeout": 60})
    assert run.server["ping"] == 60
    assert results.messages.errors == 0


@pytest.mark.parametrize(
    "cause",
    [
        pytest.param("rpc_error", marks=pytest.mark.scenario("refuses_pings", heartbeat_s=1, timeout_s=5)),
        pytest.param("bad_status", marks=pytest.mark.scenario("http good", **HTTP, heartbeat_s=1, timeout_s=5)),
    ],
)
def test_heartbeats_that_are_refused(run: Run, cause: str) -> None:
    results = results_of(run)
    assert results.pings is not None
    assert (results.pings.sent, results.pings.answered, results.pings.causes) == (60, 0, {cause: 60})
    assert results.messages.errors == 0


@pytest.mark.scenario("c100k-server", **STREAMED, heartbeat_s=1)
def test_heartbeats_of_sessions_over_http(run: Run) -> None:
    results = results_of(run)
    assert results.pings is not None
    assert (results.pings.sent, results.pings.answered, results.pings.causes) == (30, 30, {}), "ten sessions"
    assert results.messages.errors == 0


@pytest.mark.scenario("watches", think_s=0.2)
def test_connections_that_think_are_passed_over(run: Run) -> None:
    results = results_of(run)
    assert run.total("answered") == (SETTLE_S + HOLD_S) * RATE, "twenty of them can have 100 a second"
    assert run.server["least_thinking_us"] >= 200_000
    assert results.messages.errors == 0


@pytest.mark.scenario("watches", think_s=0.2, connections=5, timeout_s=20)
def test_what_finds_no_free_connection_waits(run: Run) -> None:
    results = results_of(run)
    assert run.server["least_thinking_us"] >= 200_000
    assert run.total("answered") == run.total("intended") == (SETTLE_S + HOLD_S) * RATE
    response, slip = results.response_ms.p50, results.slip_ms.p50
    assert response is not None
    assert slip is not None
    assert slip < response / 5, "five can have 25 a second; the wait is in the response time, and is no lateness"


@pytest.mark.scenario("good", think_s=0.2, connections=5, hold_s=4)
def test_what_has_waited_for_too_long_is_not_sent(run: Run) -> None:
    assert run.exit_code == 0, run.stderr
    wrong = run.causes("message_error")
    assert wrong["no_free_connection"] > 0
    assert wrong.keys() <= {"no_free_connection", "timeout"}, "some are sent so late that their answer comes too late"
    assert run.total("intended") == 5 * RATE == run.total("sent") + wrong["no_free_connection"]
    assert run.server["tools/call"] == run.total("sent") == run.total("answered") + wrong["timeout"]
    assert read_results(run.output).messages.intended == 4 * RATE


@pytest.mark.scenario("delay", churn_per_s=20, rate_per_s=400)
def test_churn_waits_for_answers(run: Run) -> None:
    results = results_of(run)
    closed = run.causes("close")["churn"]
    assert closed in (HOLD_S * 20 - 1, HOLD_S * 20), "the last may still wait for its answer when the hold ends"
    assert run.causes("close") == {"churn": closed, "stop": CONNECTIONS}
    assert run.causes("message_error") == run.causes("connect_error") == {}
    assert run.server["initialize"] == run.server["ended"] == CONNECTIONS + closed
    # In turn, save that one whose answer is late lets the next ones go first.
    turns = Counter(int(row["connection"]) for row in run.rows("reopenings"))
    assert turns.keys() == set(range(CONNECTIONS))
    assert max(turns.values()) == 2
    assert results.churn is not None
    assert (results.churn.closed, results.churn.back, results.churn.failed) == (closed, closed, 0)
    assert results.churn.connect_ms.samples == run.histogram("churn_connect").get_total_count() == closed
    assert results.connections.held_min == CONNECTIONS >= results.connections.connected_min


@pytest.mark.scenario("c100k-server", **STREAMED, churn_per_s=5, workers=2)
def test_churn_of_sessions_with_streams_closes_both(run: Run) -> None:
    results = results_of(run)
    assert run.causes("close") == {"churn": 2 * HOLD_S * 5, "stop": CONNECTIONS}
    assert run.causes("message_error") == run.causes("connect_error") == {}
    assert results.churn is not None
    assert (results.churn.closed, results.churn.back) == (20, 20)
    assert results.connections.held_min == CONNECTIONS


@pytest.mark.scenario("c100k-server", **LISTEN, churn_per_s=10)
def test_churn_of_listeners(run: Run) -> None:
    results = results_of(run)
    assert run.causes("close") == {"churn": HOLD_S * 10, "stop": CONNECTIONS}
    assert results.connections.held_min == CONNECTIONS


STORM = {"at_s": 1, "share": 0.5, "within_s": 0.2}


@pytest.mark.scenario("leaves_for_a_while", storm=STORM, hold_s=5, timeout_s=4)
def test_a_storm_is_followed_until_all_are_back(run: Run) -> None:
    results = results_of(run)
    storm = results.storm
    assert storm is not None
    assert run.causes("close") == {"storm": 10, "stop": CONNECTIONS}
    assert (storm.closed, storm.back, storm.connect_ms.samples) == (10, 10, 10)
    assert storm.all_back_s is not None
    assert storm.all_back_s >= 1.2, "as long as nobody was let in"
    assert run.causes("connect_error") == {"refused": storm.refused}
    assert storm.failed == storm.refused >= 10, "each was refused at least once"
    assert run.server["lost"] == 10, "with a reset"
    assert run.causes("message_error").keys() <= {"storm"}
    # The first may be back when a late machine closes the last.
    assert 10 <= results.connections.connected_min <= 12
    assert results.connections.held_min == CONNECTIONS, "they were excused"


@pytest.mark.scenario("leaves", storm={**STORM, "close": "fin"}, hold_s=4, rate_per_s=0)
def test_what_does_not_come_back_is_excused_only_for_so_long(run: Run) -> None:
    results = results_of(run)
    storm = results.storm
    assert storm is not None
    assert (storm.closed, storm.all_back_s, storm.refused > 0) == (10, None, True)
    # One may be back before the server has noticed that the first has gone.
    assert storm.back <= 2
    assert run.server["lost"] == 0, "closed in good order"
    assert results.connections.held_min == 10 + storm.back
    held = by_second(run.seconds("hold"), "connected", "reopening")
    assert (held[1], held[-1]) == (20, 10 + storm.back)


@pytest.mark.scenario("c100k-server", **STREAMED, storm={**STORM, "share": 1.0}, hold_s=3, workers=2)
def test_a_storm_of_all_sessions_with_their_streams(run: Run) -> None:
    assert run.exit_code == 0, run.stderr
    results = read_results(run.output)
    assert results.storm is not None
    assert (results.storm.closed, results.storm.back) == (20, 20)
    assert run.causes("close") == {"storm": 20, "stop": 20}
    assert results.connections.held_min == CONNECTIONS

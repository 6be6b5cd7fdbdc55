"""What the generator makes of servers of all kinds. Every count must come out exactly, whatever the server does."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from c100k_loadgen.opener import IN_FLIGHT

if TYPE_CHECKING:
    from tests.unit.loadgen.conftest import Run

HOLD_S, SETTLE_S, RATE = 2, 1, 50
MESSAGES = (SETTLE_S + HOLD_S) * RATE


def check_complete(run: Run) -> None:
    """The files are whole and agree with each other, and the run ended by itself."""
    assert run.exit_code == 0, run.stderr
    generator = run.generator
    assert (generator["state"], generator["stop_reason"]) == ("done", "completed")
    assert [worker["exit_code"] for worker in generator["workers"]] == [0] * len(generator["workers"])
    assert all(worker["died_at"] is None for worker in generator["workers"])
    plan, workers = generator["plan"], len(generator["workers"])
    assert len(run.seconds("settle")) == plan["settle_s"] * workers
    assert len(run.seconds("hold")) == plan["hold_s"] * workers
    assert run.total("intended") == run.total("sent") + run.causes("message_error")["not_connected"]
    assert run.total("connect_errors") == run.causes("connect_error").total()
    assert run.total("closed") == run.causes("close").total() == run.total("opened")
    assert run.total("errors") + run.total("timeouts") == run.causes("message_error").total()
    assert run.histogram("response").get_total_count() == run.total("answered") + run.total("timeouts")
    assert run.histogram("service").get_total_count() == run.total("answered")
    assert run.histogram("slip").get_total_count() == run.total("sent")
    assert "Traceback" not in run.stderr


@pytest.mark.scenario("good", workers=3, connections=32, rate_per_s=200, payload_bytes=333)
def test_counts_of_a_good_server_are_exact(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == 32
    assert {row["connected"] for row in run.seconds("hold")} == {"10", "11"}
    assert run.total("intended", "hold") == HOLD_S * 200
    assert run.total("sent") == run.total("answered") == (SETTLE_S + HOLD_S) * 200
    assert run.total("errors") == run.total("timeouts") == 0
    assert run.causes("close") == {"stop": 32}
    assert run.server["initialize"] == run.server["notifications/initialized"] == run.server["ended"] == 32
    assert run.server["tools/call"] == run.total("sent")
    assert run.server["text_bytes"] == 333 * run.server["tools/call"]


@pytest.mark.scenario("good", workers=3, connections=32, rate_per_s=200, payload_bytes=333)
def test_latency_of_a_good_server_is_small_and_the_logs_merge(run: Run) -> None:
    check_complete(run)
    response, service = run.histogram("response", "hold"), run.histogram("service", "hold")
    assert response.get_total_count() == HOLD_S * 200
    assert 10 <= service.get_value_at_percentile(50) <= response.get_value_at_percentile(50) < 250_000
    assert run.histogram("response", "settle").get_total_count() == SETTLE_S * 200


@pytest.mark.scenario("talks", ramp_s=1)
def test_rows_are_aligned_and_show_the_own_cost(run: Run) -> None:
    rows = run.seconds()
    assert [int(row["t"]) for row in rows] == list(range(int(rows[0]["t"]), int(rows[0]["t"]) + len(rows)))
    start = run.generator["plan"]["start_at"]
    assert [row["phase"] for row in rows if int(row["t"]) >= start][:4] == ["ramp", "settle", "hold", "hold"]
    cpu = [float(row["cpu_s"]) for row in rows]
    assert cpu == sorted(cpu)
    assert cpu[0] > 0
    assert all(int(row["rss_bytes"]) > 1 << 20 for row in rows)
    assert all(float(row["loop_lag_max_ms"]) >= 0 for row in rows)


@pytest.mark.scenario("absent")
def test_a_server_that_is_not_there(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error").keys() == {"refused"}
    assert run.causes("connect_error")["refused"] > 20, "attempts are made again"
    assert run.causes("connect_error", "hold").total() == 0, "but not in the hold phase"
    assert run.causes("message_error") == {"not_connected": MESSAGES}
    assert run.total("sent") == run.total("opened") == 0


@pytest.mark.scenario("garbage_in_handshake")
def test_a_server_that_is_not_mcp(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error").keys() == {"bad_handshake"}
    assert run.causes("connect_error").total() > 20
    assert run.total("opened") == 0


@pytest.mark.scenario("other_version")
def test_a_server_that_insists_on_another_revision(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error").keys() == {"bad_handshake"}
    assert run.server["notifications/initialized"] == 0


@pytest.mark.scenario("closes_in_handshake")
def test_a_server_that_closes_half_way(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error").keys() == {"closed_in_handshake"}


@pytest.mark.scenario("deaf")
def test_a_server_that_never_answers_the_handshake(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error").keys() == {"timeout"}
    assert run.causes("connect_error")["timeout"] >= 20


@pytest.mark.scenario("deaf", connections=600, timeout_s=4, hold_s=5)
def test_connections_whose_turn_never_came_are_counted(run: Run) -> None:
    check_complete(run)
    assert run.causes("connect_error") == {"timeout": IN_FLIGHT, "not_attempted": 600 - IN_FLIGHT}


@pytest.mark.scenario("silent")
def test_a_server_that_never_answers_a_call(run: Run) -> None:
    check_complete(run)
    assert run.total("sent") == run.total("timeouts") == run.server["tools/call"] == MESSAGES
    assert run.causes("message_error", "hold") == {"timeout": HOLD_S * RATE}, "those given up in the stop phase too"
    assert run.histogram("response", "hold").get_total_count() == HOLD_S * RATE
    assert run.histogram("response").get_value_at_percentile(0) >= 999_000


@pytest.mark.scenario("late")
def test_answers_after_the_timeout_count_once(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"timeout": MESSAGES}


@pytest.mark.scenario("just_late")
def test_answers_just_after_the_timeout_are_none(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"timeout": MESSAGES}
    assert run.total("answered") == 0


@pytest.mark.scenario("garbage")
def test_a_server_that_answers_calls_with_garbage(run: Run) -> None:
    check_complete(run)
    closes = run.causes("close")
    assert closes["garbage"] >= 20
    assert closes.keys() <= {"garbage", "stop"}
    errors = run.causes("message_error")
    assert errors["connection_lost"] == run.total("sent") >= closes["garbage"]
    assert errors["not_connected"] == run.total("intended") - run.total("sent") > 0


@pytest.mark.scenario("hangs_up")
def test_a_server_that_hangs_up(run: Run) -> None:
    check_complete(run)
    assert run.causes("close")["eof"] >= 20
    assert run.causes("message_error")["connection_lost"] == run.total("sent")


@pytest.mark.scenario("wrong_id")
def test_answers_with_ids_that_were_never_given(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"wrong_id": MESSAGES, "timeout": MESSAGES}
    assert run.total("answered") == 0


@pytest.mark.scenario("foreign_id")
def test_answers_with_ids_of_another_type(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"wrong_id": MESSAGES, "timeout": MESSAGES}


@pytest.mark.scenario("twice")
def test_a_second_answer_is_an_answer_to_nothing(run: Run) -> None:
    check_complete(run)
    assert run.total("answered") == MESSAGES
    assert run.causes("message_error") == {"wrong_id": MESSAGES}


@pytest.mark.scenario("wrong_payload")
def test_answers_with_a_wrong_text(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"wrong_payload": MESSAGES}


@pytest.mark.scenario("wrong_shape")
def test_answers_of_a_wrong_shape(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"wrong_payload": MESSAGES}
    assert run.causes("close") == {"stop": 20}


@pytest.mark.scenario("rpc_error")
def test_answers_that_are_errors(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"rpc_error": MESSAGES}


@pytest.mark.scenario("tool_error")
def test_results_that_say_they_are_errors(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"rpc_error": MESSAGES}


@pytest.mark.scenario("talks")
def test_a_server_that_asks_is_answered(run: Run) -> None:
    check_complete(run)
    assert run.total("answered") == MESSAGES
    assert run.server["reply"] == 2 * 20


@pytest.mark.scenario("stall", connections=5, hold_s=8, timeout_s=15)
def test_a_stall_of_six_seconds_shows_in_all_that_should_have_been_sent(run: Run) -> None:
    check_complete(run)
    assert run.total("intended") == run.total("sent") == run.total("answered") == (SETTLE_S + 8) * RATE
    response = run.histogram("response")
    assert response.get_max_value() >= 5_950_000
    assert response.get_value_at_percentile(99) > 5_500_000
    waits = response.get_recorded_iterator()
    waited = sum(item.count_added_in_this_iter_step for item in waits if item.value_iterated_to > 1_000_000)
    assert waited >= 0.9 * 5 * RATE, "every message of the stall's first five seconds waited for more than one"
    assert run.histogram("service").get_value_at_percentile(99) > 5_500_000, "they were sent, and so were queued"
    assert run.total("sent", "hold") == 8 * RATE


@pytest.mark.scenario("good", connections=2, rate_per_s=3000)
def test_more_messages_than_connections_all_go_out(run: Run) -> None:
    check_complete(run)
    assert run.total("intended") == run.total("sent") == run.server["tools/call"] == (SETTLE_S + HOLD_S) * 3000
    assert run.total("answered") + run.total("timeouts") == run.total("sent")


@pytest.mark.scenario("good", payload_bytes=0, source_addresses=["127.0.0.1", "127.0.0.2"], rate_per_s=0.5)
def test_source_addresses_and_an_empty_text_at_a_low_rate(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == 20
    assert run.total("answered") == run.server["tools/call"] == 2
    assert run.server["text_bytes"] == 0


@pytest.mark.parametrize(
    "rate",
    [
        pytest.param(rate, marks=pytest.mark.scenario("delay", rate_per_s=rate, timeout_s=5, ramp_s=3))
        for rate in (8, 40, 400)
    ],
)
def test_a_fixed_delay_is_measured_to_a_millisecond_at_every_rate(run: Run, rate: int) -> None:
    check_complete(run)
    assert run.total("answered") == (SETTLE_S + HOLD_S) * rate
    service, response = run.histogram("service"), run.histogram("response")
    assert service.get_min_value() >= 20_000, "no answer can be measured that had not been given yet"
    # By the best of them: the others also tell of who else had the processor meanwhile.
    for histogram in (service, response):
        assert abs(histogram.get_min_value() - run.server["least_delay_us"]) < 1000


@pytest.mark.scenario("one_error", rate_per_s=100, timeout_s=5, ramp_s=3)
def test_one_error_in_a_hundred(run: Run) -> None:
    check_complete(run)
    assert run.causes("message_error") == {"rpc_error": (SETTLE_S + HOLD_S) * 100 // 100}
    assert run.total("answered") == (SETTLE_S + HOLD_S) * 99


@pytest.mark.scenario("drops", ramp_s=3)
def test_answers_that_are_dropped_in_silence(run: Run) -> None:
    check_complete(run)
    assert run.server["swallowed"] == MESSAGES // 10
    assert run.causes("message_error") == {"timeout": MESSAGES // 10}
    assert run.causes("close") == {"stop": 20}, "the connections themselves are held"


@pytest.mark.scenario("half_open", ramp_s=3)
def test_peers_that_are_there_no_more(run: Run) -> None:
    check_complete(run)
    assert MESSAGES / 3 < run.server["swallowed"] < MESSAGES * 2 / 3
    assert run.causes("message_error") == {"timeout": run.server["swallowed"]}
    assert run.total("answered") == MESSAGES - run.server["swallowed"]
    assert run.causes("close") == {"stop": 20}


@pytest.mark.scenario("accepts_slowly", ramp_s=2, settle_s=6, timeout_s=10)
def test_a_server_that_accepts_slowly(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == run.server["initialize"] == 20
    assert run.causes("connect_error") == {}
    ramp = [int(row["connected"]) for row in run.seconds("ramp")]
    assert ramp[0] <= 8, "0.15 s for each but the first"
    assert {row["connected"] for row in run.seconds("hold")} == {"20"}


@pytest.mark.scenario("cap", ramp_s=3, timeout_s=5)
def test_a_cap_on_connections(run: Run) -> None:
    check_complete(run)
    assert run.total("opened") == 12
    assert {row["connected"] for row in run.seconds("hold")} == {"12"}
    refused = run.causes("connect_error")
    assert refused.keys() <= {"closed_in_handshake", "reset"}
    assert refused.total() == run.server["turned_away"] >= 8
    assert run.total("answered") == MESSAGES, "over those that there are"


MIX = [
    {"tool": "search", "arguments": {"q": "x"}, "weight": 3},
    {"tool": "search", "name": "other", "arguments": {"q": "y"}},
    {"tool": "broken", "weight": 1},
]


@pytest.mark.scenario("good", calls=MIX, rate_per_s=250, settle_s=2, hold_s=2, workers=2, ramp_s=3, timeout_s=5)
def test_a_mix_of_calls_is_told_apart(run: Run) -> None:
    check_complete(run)
    # Each worker has 500 messages, half of the turns of the mix; both halves are alike.
    assert run.total("sent") == 1000
    assert run.causes("message_error") == {"rpc_error": run.server["broken"]}
    assert run.server["search x"] + run.server["search y"] == run.total("answered")
    assert run.server["search x"] == pytest.approx(600, abs=60)
    assert run.server["search y"] == pytest.approx(200, abs=60)
    calls = Counter[str]()
    for row in run.rows("calls"):
        calls[f"{row['call']} sent"] += int(row["sent"])
        calls[f"{row['call']} answered"] += int(row["answered"])
    assert sum(calls[f"{name} sent"] for name in ("search", "other", "broken")) == 500, "those of the hold"
    assert calls["search answered"] == calls["search sent"] > 2 * calls["other sent"]
    assert calls["broken answered"] == 0
    assert run.histogram("call.search").get_total_count() == calls["search answered"]


@pytest.mark.scenario("good", arrivals="poisson", rate_per_s=300, workers=2, ramp_s=3, timeout_s=5)
def test_arrivals_at_random(run: Run) -> None:
    check_complete(run)
    assert run.total("sent") == run.total("answered") == run.server["tools/call"]
    assert run.total("sent") == pytest.approx((SETTLE_S + HOLD_S) * 300, abs=180)
    assert run.total("sent") != (SETTLE_S + HOLD_S) * 300, "for this seed"


@pytest.mark.scenario("rpc_error", abort={"error_share": 0.2, "over_s": 2}, hold_s=50, ramp_s=2, timeout_s=5)
def test_a_run_that_goes_wrong_is_given_up(run: Run) -> None:
    assert run.exit_code == 1
    assert run.generator["stop_reason"] == "aborted"
    assert len(run.seconds("hold")) < 50
    assert run.total("answered") == 0

"""Thresholds: what may be written, and what they make of a run."""

from __future__ import annotations

import msgspec
import pytest

from c100k_loadgen.errors import ThresholdError
from c100k_loadgen.results import Call, Connections, Distribution, Generator, Messages, Results
from c100k_loadgen.thresholds import judge, parse

RESULTS = Results(
    schema_version=1,
    run_id="r",
    targets=["tcp://127.0.0.1:7000"],
    transport="tcp",
    protocol="2025-11-25",
    connection="session",
    calls=[Call("echo")],
    started_at=0.0,
    ended_at=1.0,
    hold_s=10,
    connections=Connections(
        target=200,
        opened=200,
        peak=200,
        connected_min=190,
        held_min=190,
        connect_errors={},
        closes={},
        session_ends={},
    ),
    messages=Messages(
        intended=1000, sent=1000, answered=980, errors=20, error_share=0.02, rate_per_s=98.0, causes={"timeout": 20}
    ),
    response_ms=Distribution(1000, min=1, mean=5, p50=4, p75=5, p90=7, p95=8, p99=99, p999=250, p9999=250, max=250),
    service_ms=Distribution(980),
    slip_ms=Distribution(1000, p99=1),
    stages=[],
    pings=None,
    churn=None,
    storm=None,
    generator=Generator("1", 1, 0, "completed", 20.0, 1.0, 1),
    said={},
    doubts=[],
    warnings=[],
    seconds=[],
)


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("p95<8.1ms", True),
        ("p95<8ms", False),
        ("p95<=8ms", True),
        ("p99 < 0.1s", True),
        ("p99.9<250ms", False),
        ("p999<=250000us", True),
        ("p9999<=250ms", True),
        ("max<0.25s", False),
        ("mean<=5ms", True),
        ("errors<2%", False),
        ("errors<=2%", True),
        ("errors==20", True),
        ("errors<=19", False),
        ("rate>=98", True),
        ("rate>98/s", False),
        ("connections>=95%", True),
        ("connections>95%", False),
        ("connections==190", True),
    ],
)
def test_what_a_threshold_makes_of_a_run(text: str, passed: bool) -> None:
    judgement = judge(RESULTS, [parse(text)])
    assert judgement.thresholds[0].passed is passed
    assert (judgement.verdict, judgement.exit_code) == (("PASS", 0) if passed else ("FAIL", 1))
    assert len(judgement.reasons) == (not passed)


def test_all_thresholds_must_hold() -> None:
    judgement = judge(RESULTS, [parse("p50<1s"), parse("p99<1ms"), parse("errors==0")])
    assert judgement.verdict == "FAIL"
    assert judgement.reasons == ["p99<1ms is broken: p99 99 ms", "errors==0 is broken: errors 20"]


def test_a_figure_that_there_is_none_of_breaks_its_threshold() -> None:
    nothing = msgspec.structs.replace(RESULTS, response_ms=Distribution(0))
    judgement = judge(nothing, [parse("p50<1s")])
    assert judgement.reasons == ["p50<1s is broken: no p50 was measured"]


def test_doubts_make_a_run_invalid_whatever_it_measured() -> None:
    doubtful = msgspec.structs.replace(RESULTS, doubts=["1 of 1 worker processes died"])
    for threshold in ("p50<1s", "p50<1us"):
        judgement = judge(doubtful, [parse(threshold)])
        assert (judgement.verdict, judgement.exit_code) == ("INVALID", 3)
        assert judgement.reasons[0] == "1 of 1 worker processes died"


@pytest.mark.parametrize(
    "text", ["", "p95", "p95<", "p95<ms", "<100ms", "p95<100", "p95<1%", "p42<1ms", "rate>5ms", "errors<1ms"]
)
def test_what_is_no_threshold(text: str) -> None:
    with pytest.raises(ThresholdError):
        parse(text)

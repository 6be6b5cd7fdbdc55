"""Properties of what is computed: the recorder against HdrHistogram itself, the schedule, and how work is shared."""

from __future__ import annotations

import itertools
import math
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from c100k.histograms import empty, merge_by_second
from c100k_loadgen.arrivals import arrivals
from c100k_loadgen.assignment import assignments
from c100k_loadgen.calls import TURNS, EchoCalls, MixedCalls
from c100k_loadgen.opener import destination
from c100k_loadgen.output import WorkerFiles
from c100k_loadgen.pace import Pace
from c100k_loadgen.phases import Timetable
from c100k_loadgen.plan import CallSpec, Plan, Target
from c100k_loadgen.raw_files import RawFiles
from c100k_loadgen.recorder import COUNTS, HIGHEST_US, Recorder, combined
from c100k_loadgen.schedule import PoissonSchedule, Schedule, StagedSchedule, StepSchedule

values = st.lists(
    st.one_of(st.integers(0, HIGHEST_US), st.integers(0, 5000), st.integers(0, 34).map(lambda n: 2**n // 2))
)


@settings(max_examples=40, deadline=None)  # each looks at all 23,552 counts twice
@given(values, values)
@example([2047], [2046, 0])
@example([2048], [2047, 2049, 2050])
def test_the_recorder_counts_as_hdrhistogram_does(first: list[int], second: list[int]) -> None:
    recorder = Recorder()
    for recorded in (first, second):
        reference = HdrHistogram(1, HIGHEST_US, 3)
        for value in recorded:
            recorder.record(value)
            assert reference.record_value(min(value, HIGHEST_US))
        interval = recorder.take()
        decoded = HdrHistogram.decode(interval.encoded)
        assert (interval.samples, interval.max_us) == (len(recorded), min(HIGHEST_US, max(recorded, default=0)))
        assert decoded.get_total_count() == len(recorded)
        assert [decoded.get_count_at_index(i) for i in range(COUNTS)] == list(reference.counts)
        assert decoded.get_max_value() == reference.get_max_value()
        assert interval.encoded.encode() == reference.encode()


samples = st.lists(
    st.lists(st.one_of(st.integers(0, HIGHEST_US), st.integers(1_000, 3_000_000)), max_size=60), min_size=1, max_size=6
)


@settings(max_examples=25, deadline=None)
@given(samples, st.sampled_from([50.0, 75.0, 90.0, 95.0, 99.0, 99.9]))
def test_percentiles_of_merged_logs_are_those_of_all_samples(by_worker: list[list[int]], percentile: float) -> None:
    pooled = sorted(value for values in by_worker for value in values)
    assume(pooled)
    with tempfile.TemporaryDirectory() as directory:
        for index, values in enumerate(by_worker):
            files = WorkerFiles(Path(directory), "host", index, 0.0)
            recorder = Recorder()
            for t, second in enumerate((values[::2], values[1::2])):
                for value in second:
                    recorder.record(value)
                files.interval("hold", "response", t, recorder.take())
            files.close()
        merged = RawFiles(Path(directory)).histogram("hold", "response")
        controller = empty()
        for _, histograms in merge_by_second(Path(directory).glob("*.hlog")):
            controller.add(histograms["hold", "response"])
    assert merged.get_total_count() == controller.get_total_count() == len(pooled)
    # The rank as HdrHistogram has it.
    exact = pooled[max(1, int(percentile / 100 * len(pooled) + 0.5)) - 1]
    for histogram in (merged, controller):
        assert histogram.get_value_at_percentile(percentile) == pytest.approx(exact, rel=0.001)


@settings(max_examples=25, deadline=None)
@given(samples)
def test_what_stages_measured_in_one_second_is_added(by_stage: list[list[int]]) -> None:
    reference, intervals = HdrHistogram(1, HIGHEST_US, 3), []
    for recorded in by_stage:
        recorder = Recorder()
        for value in recorded:
            recorder.record(value)
            reference.record_value(value)
        intervals.append(recorder.take())
    whole = combined(intervals)
    pooled = [value for recorded in by_stage for value in recorded]
    assert (whole.samples, whole.max_us) == (len(pooled), max(pooled) if pooled else 0)
    assert list(HdrHistogram.decode(whole.encoded).counts) == list(reference.counts)


def test_a_value_beyond_an_hour_counts_as_an_hour() -> None:
    recorder = Recorder()
    recorder.record(10 * HIGHEST_US)
    assert HdrHistogram.decode(recorder.take().encoded).get_count_at_value(HIGHEST_US) == 1


@given(
    rate=st.one_of(st.floats(0.01, 20_000), st.integers(1, 20_000).map(float)),
    seconds=st.integers(1, 20),
    processes=st.integers(1, 8),
    start=st.floats(0, 1e6),
)
def test_shared_schedules_have_every_message_once(rate: float, seconds: int, processes: int, start: float) -> None:
    shared = [Schedule(start, start + seconds, rate / processes, w / processes) for w in range(processes)]
    by_second = [[s.due(start + t) for t in range(seconds + 1)] for s in shared]
    whole = Schedule(start, start + seconds, rate)
    for t in range(seconds + 1):
        assert sum(counts[t] for counts in by_second) == pytest.approx(whole.due(start + t), abs=1)
        assert whole.due(start + t) == pytest.approx(rate * t, abs=1)
    if rate == int(rate):
        assert sum(counts[-1] for counts in by_second) == rate * seconds
    assert all(counts == sorted(counts) for counts in by_second)
    assert all(s.due(start + 2 * seconds) == counts[-1] for s, counts in zip(shared, by_second, strict=True))


@given(rate=st.floats(0.1, 20_000), start=st.floats(0, 1e6), after=st.floats(0, 100))
def test_what_is_due_is_what_lies_before(rate: float, start: float, after: float) -> None:
    schedule = Schedule(start, math.inf, rate)
    due = schedule.due(start + after)
    slack = 1e-6 / rate + 1e-9
    assert due == 0 or schedule.time_of(due - 1) <= start + after + slack
    assert schedule.time_of(due) >= start + after - slack


def test_a_schedule_without_a_rate_is_empty() -> None:
    assert Schedule(0, 100, 0).due(50) == 0
    assert Schedule(0, 100, 10, limit=7).due(50) == 7


@settings(max_examples=50, deadline=None)
@given(
    stages=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), min_size=1, max_size=5),
    processes=st.integers(1, 4),
    start=st.integers(0, 10**6),
    poisson=st.booleans(),
)
def test_stages_follow_one_another_and_lose_no_message(
    stages: list[tuple[int, int]], processes: int, start: int, poisson: bool
) -> None:
    found: list[float] = []
    for w in range(processes):
        parts: list[tuple[float, Schedule | PoissonSchedule]] = []
        begin = float(start)
        for seconds, rate in stages:
            end = begin + seconds
            part: Schedule | PoissonSchedule = Schedule(begin, end, rate / processes, w / processes)
            if poisson:
                part = PoissonSchedule(begin, end, rate / processes, f"{w}-{begin}")
            parts.append((begin, part))
            begin = end
        alone = [part.due(part.end) for _, part in parts]
        staged, unasked = StagedSchedule(parts), StagedSchedule(parts)
        counts = [staged.due(start + step / 4) for step in range(4 * sum(s for s, _ in stages) + 2)]
        assert counts == sorted(counts)
        assert counts[-1] == sum(alone) == staged.due(math.inf)
        times = [staged.time_of(k) for k in range(counts[-1])]
        cuts = [0, counts[-1] // 3, counts[-1] // 2, counts[-1]]
        assert times == [t for first, end in itertools.pairwise(cuts) for t in staged.times(first, end)]
        assert times == sorted(times) == [unasked.time_of(k) for k in range(counts[-1])]
        assert staged.time_of(counts[-1]) == math.inf
        assert [staged.due(t) for t in times[:50]] == pytest.approx(list(range(min(50, len(times)))), abs=1)
        found += times
    begin = float(start)
    for seconds, rate in stages:
        within = sum(begin <= t < begin + seconds for t in found)
        assert within == seconds * rate if not poisson else abs(within - seconds * rate) <= 6 * (seconds * rate) ** 0.5
        begin += seconds


@given(events=st.integers(1, 400), steps=st.integers(1, 20), step_s=st.floats(0.01, 60), start=st.floats(0, 1e6))
def test_a_ramp_in_steps_has_equal_bursts(events: int, steps: int, step_s: float, start: float) -> None:
    schedule = StepSchedule(start, step_s, steps, events)
    bursts = Counter(schedule.time_of(k) for k in range(events))
    assert bursts.keys() <= {start + step * step_s for step in range(steps)}
    assert max(bursts.values()) - min(bursts.values()) <= 1
    assert schedule.due(start) == 0
    counts = [schedule.due(start + (step + 0.5) * step_s) for step in range(steps + 1)]
    due = [sum(schedule.time_of(k) <= start + step * step_s for k in range(events)) for step in range(steps)]
    assert counts == [*due, events]


@given(per_s=st.floats(0.5, 5000), burst=st.floats(1, 100), waits=st.lists(st.floats(0, 1), min_size=1, max_size=200))
def test_a_pace_is_kept_whenever_it_is_asked(per_s: float, burst: float, waits: list[float]) -> None:
    pace, now, taken = Pace(per_s, burst, 0.0), 0.0, 0
    for wait in waits:
        now += wait
        taken += sum(pace.take(now) for _ in range(3))
        assert taken <= per_s * now + burst + 1e-6
    assert pace.take(max(now, pace.next_at) + 1e-6), "and it grants what it promised"


@given(
    connections=st.integers(1, 500), workers=st.integers(1, 12), targets=st.integers(1, 5), sources=st.integers(0, 3)
)
def test_connections_are_shared_out_evenly(connections: int, workers: int, targets: int, sources: int) -> None:
    plan = Plan(
        schema_version=1,
        run_id="r",
        host="h",
        targets=[Target(f"t{i}", f"10.0.0.{i}", 7000) for i in range(targets)],
        source_addresses=[f"10.0.1.{i}" for i in range(sources)],
        connections=connections,
        rate_per_s=1,
        start_at=100.0,
    )
    parts = assignments(plan, min(workers, connections), "out", 1)
    numbers = [part.first_connection + i for part in parts for i in range(part.connections)]
    assert numbers == list(range(connections))
    assert max(part.connections for part in parts) - min(part.connections for part in parts) <= 1
    pairs: dict[tuple[str, str | None], int] = {}
    for number in numbers:
        to = destination(parts[0], number)
        pairs[to.name, to.source] = pairs.get((to.name, to.source), 0) + 1
    assert max(pairs.values()) <= -(-connections // (targets * max(1, sources)))


@given(weights=st.lists(st.integers(1, 7), min_size=1, max_size=5), sources=st.integers(0, 2), rounds=st.integers(1, 3))
def test_targets_have_connections_by_their_weight(weights: list[int], sources: int, rounds: int) -> None:
    plan = Plan(
        schema_version=1,
        run_id="r",
        host="h",
        targets=[Target(f"t{i}", f"10.0.0.{i}", 7000, weight=weight) for i, weight in enumerate(weights)],
        source_addresses=[f"10.0.1.{i}" for i in range(sources)],
        connections=rounds * sum(weights) * max(1, sources),
        rate_per_s=1,
        start_at=100.0,
    )
    [part] = assignments(plan, 1, "out", 1)
    pairs = Counter((to.name, to.source) for to in (destination(part, k) for k in range(plan.connections)))
    assert len(pairs) == len(weights) * max(1, sources)
    assert all(count == rounds * weights[int(name[1:])] for (name, _), count in pairs.items())


@settings(max_examples=15, deadline=None)
@given(rate=st.floats(50, 2000), processes=st.integers(1, 4), seed=st.integers())
def test_poisson_arrivals_are_random_and_repeatable(rate: float, processes: int, seed: int) -> None:
    start, seconds = 1000.0, 2000 / rate
    times = []
    for index in range(processes):
        one, same = (PoissonSchedule(start, start + seconds, rate / processes, f"{seed}-{index}") for _ in range(2))
        steps = [one.due(start + seconds * step / 10) for step in range(12)]
        assert steps == sorted(steps)
        assert steps[-1] == steps[-2] == same.due(start + 2 * seconds), "and none after the end"
        times += [one.time_of(k) for k in range(steps[-1])]
        assert [one.due(one.time_of(k)) for k in range(0, steps[-1], 50)] == list(range(0, steps[-1], 50))
        assert one.limited(3).due(start + seconds) == min(3, steps[-1])
    assert abs(len(times) - 2000) < 6 * 2000**0.5
    gaps = sorted(b - a for a, b in itertools.pairwise(sorted(times)))
    assert gaps[len(gaps) // 2] * rate == pytest.approx(math.log(2), rel=0.25), "exponential, not even"


def test_each_worker_of_each_host_has_random_arrivals_of_its_own() -> None:
    def times(host: str, seed: int, worker: int) -> list[float]:
        plan = Plan(
            schema_version=1,
            run_id="r",
            host=host,
            targets=[Target("t", "10.0.0.1", 7000)],
            connections=2,
            rate_per_s=50,
            arrivals="poisson",
            seed=seed,
            start_at=100.0,
        )
        schedule = arrivals(assignments(plan, 2, "out", 1)[worker], 0.0)
        return [schedule.time_of(k) for k in range(20)]

    found = [times(host, seed, worker) for host in ("a", "b") for seed in (1, 2) for worker in (0, 1)]
    assert len({tuple(each) for each in found}) == len(found)
    assert times("a", 1, 0) == found[0], "and the same again for the same seed"


@given(weights=st.lists(st.floats(0.5, 100), min_size=1, max_size=8), seed=st.integers(), first=st.integers(0, 10**9))
def test_a_mix_keeps_its_weights(weights: list[float], seed: int, first: int) -> None:
    specs = [CallSpec(tool=f"t{index}", weight=weight) for index, weight in enumerate(weights)]
    calls, again = MixedCalls(specs, seed), MixedCalls(specs, seed)
    counts = Counter(calls.index(request_id) for request_id in range(first, first + TURNS))
    assert all(again.message(k) == calls.message(k) for k in range(first, first + 20))
    for index, weight in enumerate(weights):
        assert counts[index] >= 1
        assert counts[index] == pytest.approx(weight / sum(weights) * TURNS, abs=len(weights) + 1)


@given(request_id=st.integers(1, 10**9), size=st.integers(0, 500), value=st.text(max_size=20))
def test_what_is_to_be_filled_in(request_id: int, size: int, value: str) -> None:
    assume("${" not in value)
    arguments = {"q": f"{value}${{n}}-${{n}}", "deep": [{"text": f"${{text:{size}}}"}], "as it is": [1, None, value]}
    calls = MixedCalls([CallSpec(tool="search", arguments=arguments)], 1, stateless=True)
    line, _ = calls.message(request_id)
    message = msgspec.json.decode(line)
    assert message["id"] == request_id
    assert message["params"]["name"] == "search"
    assert message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    found = message["params"]["arguments"]
    assert found["q"] == f"{value}{request_id}-{request_id}"
    assert len(found["deep"][0]["text"]) == size
    assert found["as it is"] == [1, None, value]
    assert calls.routing(request_id) == b"Mcp-Name: search\r\n"


@given(st.integers(1, 10**12), st.integers(0, 400))
def test_a_call_carries_a_text_of_its_own_and_of_the_size_asked_for(request_id: int, payload_bytes: int) -> None:
    line, text = EchoCalls(payload_bytes).message(request_id)
    message = msgspec.json.decode(line)
    assert line.endswith(b"}\n")
    assert (message["id"], message["params"]) == (request_id, {"name": "echo", "arguments": {"text": text}})
    assert len(text) == payload_bytes
    assert payload_bytes < 13 or text.startswith(f"{request_id}-")


@given(start=st.integers(0, 10**9), ramp=st.integers(0, 50), settle=st.integers(0, 50), hold=st.integers(0, 50))
def test_phases_follow_one_another(start: int, ramp: int, settle: int, hold: int) -> None:
    times = Timetable.of(start, ramp, settle, hold)
    phases = [times.phase_at(start - 1 + t) for t in range(ramp + settle + hold + 2)]
    assert phases == ["wait"] + ["ramp"] * ramp + ["settle"] * settle + ["hold"] * hold + ["stop"]
    assert times.phase_ends_at(times.stop_at) is None
    assert times.phase_ends_at(start - 1) == start

"""What fuzzing has found stays mended, and a short pass over mutated real requests; `make fuzz` does it in earnest."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz.bench import Bench
from fuzz.targets import TARGETS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

REGRESSIONS = Path(__file__).parents[2] / "fuzz" / "regressions"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("path", sorted(REGRESSIONS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found_stays_mended(bench: Bench, path: Path) -> None:
    TARGETS[path.parent.name].check(bench, path.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_real_requests_pass(bench: Bench, name: str) -> None:
    target = TARGETS[name]
    for data in target.seeds():
        target.check(bench, data)


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutants_of_real_requests_are_answered_or_closed(bench: Bench, name: str, data: st.DataObject) -> None:
    target = TARGETS[name]
    mutant = data.draw(st.sampled_from(target.seeds()))
    for seed in data.draw(st.lists(st.integers(0, 2**32), min_size=1, max_size=4)):
        mutant = target.mutate(mutant, random.Random(seed))
    noise, position = data.draw(st.binary(max_size=4)), data.draw(st.integers(0, len(mutant)))
    mutant = mutant[:position] + noise + mutant[position:]
    target.check(bench, target.repair(mutant, random.Random(0))[: target.max_bytes])

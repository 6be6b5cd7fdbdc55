"""Plans that are refused: every problem at once, each a sentence with its line, and exit code 2 before any connect."""

from __future__ import annotations

import json
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import c100k_loadgen
from c100k_loadgen import Plan, PlanError, read_plan
from c100k_loadgen.capacity import Limits, problems, workers_for

Loadgen = Callable[..., subprocess.CompletedProcess[str]]

GOOD: dict[str, Any] = {
    "schema_version": 1,
    "run_id": "r1",
    "host": "node1",
    "targets": [{"name": "node2", "address": "127.0.0.1", "port": 7000}],
    "connections": 100,
    "rate_per_s": 10,
}
LISTEN: dict[str, Any] = {"transport": "http", "connection": "listen", "protocol": "2026-07-28", "rate_per_s": 0}
STREAMED: dict[str, Any] = {"transport": "http", "connection": "session_stream"}
LOCAL: dict[str, Any] = {"local": 0.5, "remote": 0, "updates": 0.02, "cycles": 0.03}
STAGE: dict[str, Any] = {"name": "peak", "seconds": 5, "rate_per_s": 1}
STORM: dict[str, Any] = {"at_s": 30, "share": 0.5, "within_s": 2}
LIMITS = Limits(nofile=20_000, ports=28_232, port_range=(32768, 60999), cores=2, memory_available_bytes=8 << 30)


def plan_of(tmp_path: Path, **changes: Any) -> Plan:
    path = tmp_path / "plan.yml"
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return read_plan(path)


def test_every_problem_is_told_with_its_line(tmp_path: Path, loadgen: Loadgen) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(
        textwrap.dedent("""\
        schema_version: 2
        run_id: ../escape
        host: node1
        targets:
          - {name: node2, adress: 10.0.0.2, port: 7000}
          - name: node3
            address: node3.example
            port: 70000
          - {name: node3, address: 10.0.0.4, port: 7000}
        conections: 100
        rate_per_s: fast
        rate_per_s: 5
        ramp_s: 2.5
        hold_s: -1
        timeout_s: .inf
        """)
    )
    result = loadgen("run", str(path), "--output", str(tmp_path / "out"))
    assert result.returncode == 2
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert [line.removeprefix(f"{path}: ").split(":")[0] for line in lines] == [
        f"line {number}" for number in (1, 2, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    ]
    assert "did you mean address?" in lines[2]
    assert "'node3.example', which is not an IP address" in lines[3]
    assert "has the name node3 of targets[1]" in lines[5]
    assert "conections is not known here; did you mean connections?" in lines[6]
    assert "rate_per_s is 'fast'; expected a number" in lines[7]
    assert "given twice; the first is on line 11" in lines[8]
    assert all(line.endswith((".", "?")) for line in lines)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the plan is empty"),
        ("- 1\n- 2\n", "a plan must be a mapping"),
        ("schema_version: [1\nhost: x\n", "this is not YAML"),
        ("{}", "connections is missing"),
        ("? [1, 2]\n: 3\n", "line 1: a name is expected here."),
        (f"calls: {'[' * 2000}{']' * 2000}", "it is nested too deeply."),
        ("schema_version: 1\nstart_at: !!timestamp nonsense\n", "start_at cannot be read"),
    ],
)
def test_plans_that_are_no_plans(tmp_path: Path, loadgen: Loadgen, text: str, sentence: str) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(text)
    result = loadgen("check", str(path))
    assert result.returncode == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"targets": []}, "targets must be a list of at least one"),
        ({"workers": 0}, "workers is 0; expected auto or a whole number from 1 on."),
        ({"workers": "many"}, "workers is 'many'; expected auto or a whole number from 1 on."),
        (
            {"host": "a/b"},
            "expected a text of letters, digits, dots, hyphens and underscores, a letter or a digit first.",
        ),
        ({"start_at": "soon"}, "start_at is 'soon'; expected a number or nothing, got a text."),
        ({"calls": [{"tool": "a", "arguments": [1]}]}, "calls[0].arguments is [1]; expected a mapping, got a list."),
        ({"calls": [{"tool": "a", "arguments": {"n": float("inf")}}]}, "calls[0].arguments holds what JSON has not"),
        ({"calls": [{"tool": "a", "arguments": {"q": "\ud800"}}]}, "calls[0].arguments holds what JSON has not"),
        ({"workers": 200}, "more than the 100 connections"),
        ({"start_at": 1000.0}, "in the past"),
        ({"source_addresses": ["localhost"]}, "'localhost', which is not an IP address"),
        ({"source_addresses": ["127.0.0.1", "127.0.0.1"]}, "the same address twice"),
        ({"source_addresses": ["::1"]}, "mix IPv4 and IPv6"),
        ({"protocol": "2027-01-01"}, "protocol is '2027-01-01'"),
        ({"protocol": "2026-07-28"}, "needs a protocol of its era: 2025-11-25 or older, not 2026-07-28"),
        ({"transport": "http", "connection": "stateless"}, "needs a protocol of its era: 2026-07-28, not 2025-11-25"),
        ({"connection": "session_stream"}, "connection is session_stream, which needs transport: http"),
        ({**LISTEN, "rate_per_s": 1}, "rate_per_s must be 0: a connection that listens carries no calls"),
        ({**STREAMED, "connections": 99}, "connections must be even"),
        ({"fan_out": {"every_s": 5}}, "fan_out needs connections that listen, and connection is session"),
        ({**LISTEN, "fan_out": {"every_s": 301}}, "fan_out.every_s is longer than hold_s"),
        ({**LISTEN, "fan_out": {"every_s": 0}}, "fan_out.every_s is 0"),
        ({**LISTEN, "fan_out": {"publish_to": ["node2"]}}, "fan_out.every_s is missing"),
        ({**LISTEN, "fan_out": {"every_s": 5, "publish_to": ["node9"]}}, "'node9', which is not among the targets"),
        ({**STREAMED, "resume": True}, "resume needs transport: tcp and connection: session"),
        ({"increments": 0.5}, "increments needs resume: true"),
        ({"resume": True, "increments": 1.5}, "increments is 1.5"),
        ({"resume": True, "probe": {"every_s": 0}}, "probe.every_s is 0"),
        ({"resume": True, "probe": {"often": 1}}, "probe.often is not known here"),
        ({"calls": [{"weight": 2}]}, "calls[0].tool is missing"),
        ({"calls": [{"tool": "a"}, {"tool": "a"}]}, "calls[1] is called a as calls[0] is; give it a name"),
        ({"calls": [{"tool": "a", "weight": 0}]}, "calls[0].weight is 0"),
        ({"calls": {"tool": "a"}}, "calls must be a list"),
        ({"resume": True, "calls": [{"tool": "a"}]}, "leave calls and reconnect"),
        ({"abort": {"error_share": 2}}, "abort.error_share is 2"),
        ({"arrivals": "bursts"}, "arrivals is 'bursts'"),
        ({"token": {}, "transport": "http"}, "token needs either file or env"),
        ({"token": {"env": "A"}}, "token needs transport: http"),
        ({"connection": "auto"}, "connection is auto, which needs protocol: auto"),
        ({"targets": [{"name": "a", "address": "/run/a.sock", "port": 1}]}, "port is 1, but a Unix socket has none"),
        ({"targets": [{"name": "a", "address": "10.0.0.1"}]}, "targets[0].port is missing"),
        ({"targets": [{**GOOD["targets"][0], "weight": 0}]}, "targets[0].weight is 0"),
        ({"ramp_steps": 0}, "ramp_steps is 0"),
        ({"connects_per_s": 0}, "connects_per_s is 0"),
        ({"connects_per_s": 4}, "connects_per_s is 4, which takes 25.0 s for 100 connections, and ramp_s is 20"),
        ({"stages": STAGE}, "stages must be a list"),
        ({"stages": [{**STAGE, "seconds": 0}]}, "stages[0].seconds is 0"),
        ({"stages": [{"name": "peak", "rate_per_s": 1}]}, "stages[0].seconds is missing"),
        ({"stages": [STAGE, STAGE]}, "stages[1] has the name peak of stages[0]"),
        ({"stages": [STAGE], "hold_s": 7}, "hold_s is 7, but stages take 5 s; leave hold_s"),
        ({**LISTEN, "stages": [STAGE]}, "stages must have rate_per_s: 0"),
        ({"stages": [STAGE], "resume": True}, "stages needs resume: false"),
        ({"think_s": 1, "resume": True}, "think_s needs resume: false"),
        ({**LISTEN, "think_s": 1}, "think_s needs connections that call"),
        ({"heartbeat_s": -1}, "heartbeat_s is -1"),
        ({**LISTEN, "heartbeat_s": 1}, "heartbeat_s needs sessions, and connection is listen"),
        ({**LISTEN, "fan_out": {"every_s": 5}, "churn_per_s": 1}, "churn_per_s goes without fan_out"),
        ({"churn_per_s": 9, "connects_per_s": 8}, "churn_per_s opens 9 a second, and connects_per_s is 8"),
        ({"storm": {**STORM, "share": 0}}, "storm.share is 0"),
        ({"storm": {**STORM, "close": "bang"}}, "storm.close is 'bang'"),
        ({"storm": {**STORM, "at_s": 299}}, "storm is over 301 s into the hold at the earliest, and hold_s is 300"),
        ({"storm": STORM, "stages": [STAGE]}, "storm is over 32 s into the hold at the earliest, and hold_s is 5"),
        ({"storm": STORM, "connects_per_s": 8}, "storm: connects_per_s is 8, which takes 6.2 s for 50 connections"),
        ({"registry": LOCAL}, "registry needs resume: true"),
        ({"resume": True, "increments": 0.5, "registry": LOCAL}, "registry needs increments: 0"),
        ({"resume": True, "registry": {**LOCAL, "updates": 0.9}}, "registry asks for 1.43 of the messages"),
        ({"resume": True, "registry": {}}, "registry.remote needs a second target"),
        ({"resume": True, "registry": {**LOCAL, "cycles": -0.1}}, "registry.cycles is -0.1"),
        ({"resume": True, "registry": {**LOCAL, "contested": 64}}, "registry.contested is 64"),
        (
            {"resume": True, "registry": {**LOCAL, "update": 0}},
            "registry.update is not known here; did you mean updates?",
        ),
        ({"resume": True, "registry": 0.5}, "registry must be a mapping"),
        ({"transport": "carrier-pigeon"}, "transport is 'carrier-pigeon'"),
        ({"targets": [*GOOD["targets"], {**GOOD["targets"][0], "name": "other"}]}, "the same address and port"),
        ({"connections": True}, "connections is True"),
    ],
)
def test_values_that_cannot_be(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(PlanError) as refusal:
        plan_of(tmp_path, **changes)
    assert len(refusal.value.problems) == 1
    assert sentence in refusal.value.problems[0]


def test_a_plan_that_cannot_be_read(tmp_path: Path, loadgen: Loadgen) -> None:
    result = loadgen("run", str(tmp_path / "none.yml"))
    assert result.returncode == 2
    assert result.stderr == f"{tmp_path}/none.yml: it cannot be read: No such file or directory.\n"
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    assert loadgen("run", str(tmp_path / "binary.yml")).returncode == 2


@pytest.mark.parametrize("arguments", [[], ["run"], ["walk", "plan.yml"], ["run", "plan.yml", "--status", "7002"]])
def test_wrong_usage(loadgen: Loadgen, arguments: list[str]) -> None:
    assert loadgen(*arguments).returncode == 2


def test_a_plan_that_does_not_fit_is_refused_with_the_arithmetic(tmp_path: Path, loadgen: Loadgen) -> None:
    path = tmp_path / "plan.yml"
    plan = {**GOOD, "connections": 2_000_000, "workers": 2, "source_addresses": ["203.0.113.9"]}
    path.write_text(yaml.safe_dump(plan))
    result = loadgen("run", str(path), "--output", str(tmp_path / "out"))
    assert result.returncode == 2
    assert "203.0.113.9, which cannot be used on this host" in result.stderr
    assert "2,000,000 connections over 2 workers are 1,000,000 for each, but the file limit" in result.stderr
    assert "are 2,000,000 for each pair, but ip_local_port_range" in result.stderr
    assert not (tmp_path / "out").exists()


def test_check_says_how_it_would_be_run(tmp_path: Path, loadgen: Loadgen) -> None:
    path = tmp_path / "plan.yml"
    path.write_text(yaml.safe_dump(GOOD))
    result = loadgen("check", str(path))
    assert result.returncode == 0
    assert "good; 1 workers of up to 100 connections" in result.stdout


def test_arithmetic_of_files_ports_and_memory(tmp_path: Path) -> None:
    assert problems(plan_of(tmp_path, connections=25_000), LIMITS) == []
    assert problems(plan_of(tmp_path, connections=25_000, workers=1), LIMITS) == [
        "25,000 connections over 1 workers are 25,000 for each, but the file limit 20,000 less 100 kept back leaves "
        "19,900; give workers: auto, or at least 2."
    ]
    assert problems(plan_of(tmp_path, connections=30_000), LIMITS) == [
        "30,000 connections over 1 targets and 1 source addresses are 30,000 for each pair, but ip_local_port_range "
        "32768-60999 has 28,232 ports for that; add source_addresses or targets, or widen the range. It takes 2 source "
        "addresses; of 127.0.0.0/8 this host has each already."
    ]
    far = [{"name": "node2", "address": "10.0.0.9", "port": 7000}]
    [ports] = problems(plan_of(tmp_path, connections=60_000, targets=far, source_addresses=["10.0.0.1"]), LIMITS)
    assert "It takes 3 source addresses, 2 more than there are; --add-addresses DEVICE adds those" in ports
    sources = ["10.0.0.1", "10.0.0.2"]
    assert problems(plan_of(tmp_path, connections=30_000, source_addresses=sources), LIMITS) == []
    assert problems(plan_of(tmp_path, connections=25_000, churn_per_s=50), LIMITS) == []
    [ports] = problems(plan_of(tmp_path, connections=25_000, churn_per_s=60), LIMITS)
    assert "25,000 connections, with 3,600 more that were closed less than 60 s ago, over 1 targets" in ports
    storm = {"at_s": 1, "share": 0.2, "within_s": 1}
    assert problems(plan_of(tmp_path, connections=25_000, storm=storm), LIMITS) == [], "a reset frees the port"
    [ports] = problems(plan_of(tmp_path, connections=25_000, storm={**storm, "close": "fin"}), LIMITS)
    assert "with 5,000 more that were closed" in ports
    [memory] = problems(plan_of(tmp_path, connections=25_000), LIMITS._replace(memory_available_bytes=100 << 20))
    assert "25,000 connections at 5 KiB and 2 workers at 40 MiB need 0.2 GiB, but 0.1 GiB are available" in memory
    [files] = problems(plan_of(tmp_path), LIMITS._replace(nofile=64))
    assert "a process may open 64 files" in files


@pytest.mark.parametrize(
    ("connections", "rate", "workers", "expected"),
    [
        (100, 10, "auto", 1),
        (100, 10, 3, 3),
        (4_000, 10, "auto", 2),
        (100, 9_000, "auto", 2),
        (19_900, 10, "auto", 2),
        (100_000, 10, "auto", 6),
        (1, 9_000, "auto", 1),
    ],
)
def test_workers_are_planned_from_the_file_limit(
    tmp_path: Path, connections: int, rate: float, workers: int | str, expected: int
) -> None:
    assert workers_for(plan_of(tmp_path, connections=connections, rate_per_s=rate, workers=workers), LIMITS) == expected


def test_the_rate_of_a_stage_counts_too(tmp_path: Path) -> None:
    stages = [{"name": "peak", "seconds": 5, "rate_per_s": 9_000}, {"name": "rest", "seconds": 3, "rate_per_s": 0}]
    plan = plan_of(tmp_path, stages=stages)
    assert (plan.hold_s, workers_for(plan, LIMITS)) == (8, 2)
    assert plan_of(tmp_path, stages=stages, hold_s=8) == plan


def test_the_published_schema_is_that_of_the_types(loadgen: Loadgen) -> None:
    published = (Path(c100k_loadgen.__file__).parent / "plan.schema.json").read_text()
    assert loadgen("schema").stdout == published, "c100k-loadgen schema > loadgen/src/c100k_loadgen/plan.schema.json"
    schema = json.loads(published)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    calls = [{"tool": "search", "arguments": {"q": "${n}"}, "weight": 3}, {"tool": "echo", "name": "other"}]
    validator.validate({**GOOD, "calls": calls, "abort": {"error_share": 0.2}, "tls": {"insecure": True}})
    for wrong in ({"conections": 5}, {"calls": [{}]}, {"run_id": "../escape"}, {"run_id": "r\n"}, {"protocol": "1"}):
        assert not validator.is_valid({**GOOD, **wrong}), wrong


def test_the_plan_in_the_readme_is_good(tmp_path: Path) -> None:
    """As it stands there, but for what it names: a start in the past, files, and a cap that goes with another kind."""
    text = (Path(__file__).parents[3] / "loadgen" / "README.md").read_text()
    [block] = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for name in ("start_at", "fan_out", "registry", "token"):
        block = re.sub(rf"^{name}:.*\n(?:  .*\n)*", "", block, flags=re.MULTILINE)
    path = tmp_path / "plan.yml"
    path.write_text(block)
    assert read_plan(path).connections == 25_000


def test_the_shape_in_the_readme_is_good(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "loadgen" / "README.md").read_text()
    [block] = re.findall(r"^```\n(ramp_s:.*?)^```", text, re.MULTILINE | re.DOTALL)
    plan = plan_of(tmp_path, **yaml.safe_load(block))
    assert (plan.hold_s, plan.rate_most_per_s, plan.ramp_steps) == (90, 500, 5)
    assert plan.storm is not None


def test_the_registry_in_the_readme_has_the_defaults(tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "loadgen" / "README.md").read_text()
    [block] = re.findall(r"^(registry:.*\n(?:  .*\n)+)", text, re.MULTILINE)
    targets = [{"name": name, "address": f"127.0.0.{name[-1]}", "port": 7000} for name in ("node1", "node2")]
    given = plan_of(tmp_path, resume=True, targets=targets, **yaml.safe_load(block)).registry
    assert given is not None
    assert given == plan_of(tmp_path, resume=True, targets=targets, registry={}).registry


def test_arguments_that_cannot_be_read(tmp_path: Path, loadgen: Loadgen) -> None:
    data, path = tmp_path / "data.jsonl", tmp_path / "plan.yml"
    path.write_text(yaml.safe_dump({**GOOD, "calls": [{"tool": "search", "data": str(data)}]}))
    assert "the arguments cannot be read" in loadgen("check", str(path)).stderr
    data.write_text('{"q": 1}\n\n[2]\n')
    assert f"{data}: line 3: this is no JSON object" in loadgen("check", str(path)).stderr
    data.write_text("\n")
    result = loadgen("check", str(path))
    assert (result.returncode, result.stderr) == (2, f"{data}: there are no arguments in it.\n")

"""The plan that the role `loadgen` writes for each host, by a real playbook, as the generator itself reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from c100k_loadgen.plan import Abort, CallSpec, Plan, Storm
from c100k_loadgen.plan_reader import read_plan

from . import ansible_programs

NAMES = ("node1", "node2", "node3", "node4")

PLAYBOOK = """\
- hosts: servers
  gather_facts: false
  roles: [c100k.harness.c100k]
  vars_files: [ROLE/defaults/main.yml, ROLE/vars/main.yml]
  vars: {loadgen_run_id: 20261123T101500Z-load, loadgen_start_at: 4102444800}
  tasks:
    - ansible.builtin.template:
        src: ROLE/templates/plan.yml.j2
        dest: "{{ playbook_dir }}/{{ inventory_hostname }}.yml"
        mode: "0644"
"""


@pytest.fixture
def play(tmp_path: Path, collection: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Writes the plans of four hosts with these variables."""
    (tmp_path / "playbook.yml").write_text(PLAYBOOK.replace("ROLE", str(collection / "roles/loadgen")))
    group = {"hosts": {name: {"c100k_address": f"192.0.2.{name[-1]}"} for name in NAMES}}
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"vars": local}, "servers": group, "loadgens": group}))

    def run(**variables: Any) -> subprocess.CompletedProcess[str]:
        asked = ("-i", "hosts.yml", "playbook.yml", "-e", json.dumps(variables))
        return ansible_programs.run("ansible-playbook", tmp_path, *asked)

    return run


Play = Callable[..., subprocess.CompletedProcess[str]]


def plans(play: Play, folder: Path, **variables: Any) -> dict[str, Plan]:
    done = play(**variables)
    assert done.returncode == 0, done.stdout
    return {name: read_plan(folder / f"{name}.yml") for name in NAMES}


def test_by_default_the_load_has_no_shape(play: Play, tmp_path: Path) -> None:
    found = plans(play, tmp_path)

    assert sum(plan.connections for plan in found.values()) == 100_000
    for name, plan in found.items():
        assert [target.name for target in plan.targets] == [each for each in NAMES if each != name]
        assert {target.weight for target in plan.targets} == {1}
        assert (plan.arrivals, plan.seed, plan.calls) == ("constant", 1, [])
        assert (plan.heartbeat_s, plan.think_s, plan.churn_per_s) == (0, 0, 0)
        assert (plan.storm, plan.abort, plan.ramp_steps, plan.connects_per_s) == (None, None, None, None)


def test_each_generator_has_its_part_of_the_shape(play: Play, tmp_path: Path) -> None:
    found = plans(
        play,
        tmp_path,
        c100k_connections=4000,
        c100k_ramp_steps=4,
        c100k_connects_per_s=2000,
        c100k_arrivals="poisson",
        c100k_seed=7,
        c100k_calls=[
            {"tool": "search", "arguments": {"q": "item ${n}"}, "weight": 3},
            {"tool": "search", "name": "data", "data": "queries.jsonl"},
        ],
        c100k_target_weights={"node2": 3},
        c100k_heartbeat_s=30,
        c100k_think_s=0.5,
        c100k_churn_per_s=10,
        c100k_storm={"at_s": 60, "share": 0.5, "within_s": 2, "close": "fin"},
        c100k_abort={"error_share": 0.2},
    )

    for plan in found.values():
        assert (plan.connections, plan.ramp_steps, plan.connects_per_s) == (1000, 4, 500)
        assert (plan.arrivals, plan.seed) == ("poisson", 7)
        assert plan.calls == [
            CallSpec(tool="search", arguments={"q": "item ${n}"}, weight=3),
            CallSpec(tool="search", name="data", data="/var/lib/c100k/runs/20261123T101500Z-load/calls-1.jsonl"),
        ]
        assert {target.name: target.weight for target in plan.targets if target.weight != 1}.keys() <= {"node2"}
        assert (plan.heartbeat_s, plan.think_s, plan.churn_per_s) == (30, 0.5, 2.5)
        assert plan.storm == Storm(at_s=60, share=0.5, within_s=2, close="fin")
        assert plan.abort == Abort(error_share=0.2, over_s=10)
    assert [target.weight for target in found["node1"].targets] == [3, 1, 1]


def test_listeners_that_are_closed_on_purpose_have_no_fan_out(play: Play, tmp_path: Path) -> None:
    listening: dict[str, Any] = {"c100k_transport": "http", "c100k_connection": "listen"}

    assert plans(play, tmp_path, **listening)["node1"].fan_out is not None
    found = plans(play, tmp_path, **listening, c100k_churn_per_s=4)["node1"]
    assert (found.fan_out, found.churn_per_s) == (None, 1)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"c100k_churn_per_s": -1}, "c100k_churn_per_s (-1) must be at least 0"),
        ({"c100k_think_s": 1, "c100k_resume": True, "c100k_state": "redis"}, "need c100k_resume false (True)"),
        (
            {"c100k_heartbeat_s": 5, "c100k_transport": "http", "c100k_connection": "stateless"},
            "heartbeats need sessions, and thinking and calls connections that call (c100k_connection stateless)",
        ),
        (
            {"c100k_target_weights": {"node9": 2}},
            "c100k_target_weights ({'node9': 2}) names hosts of the group servers",
        ),
        ({"c100k_target_weights": {"node1": 0}}, "with whole numbers from 1 on"),
        (
            {"c100k_storm": {"at_s": 5, "share": 0.5}},
            "needs at_s from 0 on, a share above 0 and at most 1, and within_s",
        ),
        ({"c100k_storm": {"at_s": 299, "share": 0.5, "within_s": 2}}, "must not be more than c100k_hold_s (300)"),
        ({"c100k_storm": {"at": 5}}, "Supported parameters include: at_s, close, share, within_s"),
        ({"c100k_calls": [{"name": "search"}]}, "missing required arguments: tool"),
        ({"c100k_arrivals": "random"}, "value of c100k_arrivals must be one of: constant, poisson"),
    ],
)
def test_a_shape_that_the_load_cannot_have_is_refused(play: Play, variables: dict[str, Any], sentence: str) -> None:
    done = play(**variables)

    assert done.returncode != 0
    assert sentence in " ".join(done.stdout.split()), done.stdout

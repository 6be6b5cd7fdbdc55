"""Bad input: a variable that would be ignored, or that is of another type, is refused with a sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from . import ansible_programs

Play = Callable[..., subprocess.CompletedProcess[str]]

PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  roles: [c100k.harness.c100k]
"""

#: What the first play has found good is not looked at by the second, and the third has something else.
PLAYS = (
    PLAYBOOK
    + PLAYBOOK
    + """\
- hosts: localhost
  gather_facts: false
  roles: [c100k.harness.c100k]
  vars:
    c100k_connections: 0
"""
)


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs the role that every other role depends on, with an inventory of its own, as a user would."""

    def run(*arguments: str, inventory: str = "", playbook: str = PLAYBOOK) -> subprocess.CompletedProcess[str]:
        (tmp_path / "playbook.yml").write_text(playbook)
        (tmp_path / "hosts.yml").write_text(
            f"servers: {{hosts: {{a: {{}}}}}}\nloadgens: {{hosts: {{a: {{{inventory}}}}}}}\n"
        )
        return ansible_programs.run("ansible-playbook", tmp_path, "-i", "hosts.yml", "playbook.yml", *arguments)

    return run


def test_good_variables_pass(play: Play) -> None:
    done = play(
        "-e",
        "c100k_connections=2000",
        "-e",
        "c100k_hold_s=20",
        "-e",
        "weather=fine",
        inventory="c100k_address: 192.0.2.1",
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        (
            "c100k_conections=5",
            "c100k_conections (set on the command line) is not a variable of c100k.harness; did you mean c100k_conn",
        ),
        ("connections=5", "did you mean c100k_connections?"),
        ("tune_nothing_like_it=5", "`ansible-doc -t role -l c100k.harness` lists what there is."),
        ("c100k_connections=many", "c100k_connections (set on the command line) cannot be used: "),
        ("c100k_transport=udp", "value of c100k_transport must be one of: tcp, http, got: udp."),
        ("c100k_connections=0", "c100k_connections (0) must be at least 1"),
        ("c100k_port=7001", "the four ports (7001, 7001, 7002, 7003) must differ"),
        (
            '{"c100k_faults": [{"at_s": 1, "kind": "death", "heal_after_s": 2}]}',
            "The hosts of c100k_faults must be in the group servers",
        ),
        (
            '{"c100k_faults": [{"at_s": 1, "kind": "state_down", "heal_after_s": 2}]}',
            "state_down has no host, and needs c100k_resume",
        ),
    ],
)
def test_bad_variables_are_refused(play: Play, variable: str, sentence: str) -> None:
    done = play("-e", variable)

    assert done.returncode == 2
    assert sentence in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_all_bad_variables_of_all_hosts_are_told_at_once(play: Play) -> None:
    done = play("-e", "c100k_hold=5", inventory="server_worker: 3, preflight_x: 1")
    said = done.stderr + done.stdout

    assert done.returncode == 2
    assert "server_worker (set for a) is not a variable of c100k.harness; did you mean server_workers?" in said
    assert "preflight_x (set for a)" in said
    assert "did you mean c100k_hold_s?" in said


def test_a_play_with_other_variables_has_them_checked_anew(play: Play) -> None:
    done = play(playbook=PLAYS)

    assert done.returncode == 2
    assert done.stdout.count("TASK [c100k.harness.c100k : Refuse impossible variables]") == 2
    assert done.stdout.count("TASK [c100k.harness.variables : Refuse mistyped variables]") == 1
    assert "c100k_connections (0) must be at least 1" in done.stdout

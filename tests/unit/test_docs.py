"""The commands in README and docs exist: targets, playbooks, options, variables, and the files they link to."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from c100k import cli
from c100k.rules import METRICS
from c100k_loadgen import cli as loadgen_cli
from c100k_loadgen import thresholds
from c100k_loadgen.url import parse_url

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ROLES = ROOT / "collections" / "ansible_collections" / "c100k" / "harness" / "roles"


def commands() -> Iterator[tuple[str, list[str]]]:
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in re.findall(r"^\$ (.*)$", block, re.MULTILINE):
                words = shlex.split(line, comments=True)
                yield page.name, words[1:] if words[0] == "sudo" else words


def variables() -> set[str]:
    found = set[str]()
    for specs in ROLES.glob("*/meta/argument_specs.yml"):
        for entry in yaml.safe_load(specs.read_text())["argument_specs"].values():
            found.update(entry.get("options", {}))
    return found


def check_load(arguments: list[str]) -> None:
    options = loadgen_cli.parser().parse_args(arguments)
    for threshold in getattr(options, "sla", None) or []:
        thresholds.parse(threshold)
    if options.command == "run":
        parse_url(options.target)
        assert json.loads(options.arguments or "{}") is not None


@pytest.mark.parametrize(("page", "words"), list(commands()))
def test_the_command_exists(page: str, words: list[str]) -> None:
    program, *arguments = words
    if program == "make":
        targets = re.findall(r"^([a-z0-9-]+)(?: [a-z0-9-]+)*:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert arguments[0] in targets
        arguments = [word for argument in arguments[1:] for word in shlex.split(argument.partition("=")[2])]
    elif program == ".venv/bin/c100k":
        cli.parser().parse_args(arguments)
    elif program == ".venv/bin/c100k-loadgen":
        check_load(arguments)
    elif program in (".venv/bin/ansible-playbook", ".venv/bin/python"):
        assert (ROOT / arguments[0]).exists()
    else:
        assert program == "ssh"
    given = [value for flag, value in itertools.pairwise(arguments) if flag == "-e"]
    assert {value.partition("=")[0] for value in given} <= variables()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_every_variable_of_the_run_page_has_its_default() -> None:
    rows = re.findall(r"^\| `(c100k_\w+)` \| (\d+) \|", (ROOT / "docs" / "run.md").read_text(), re.MULTILINE)
    defaults = yaml.safe_load((ROLES / "c100k" / "defaults" / "main.yml").read_text())
    assert rows
    assert {name: int(value) for name, value in rows} == {name: defaults[name] for name, _ in rows}


def test_the_figures_of_the_verdict_page_exist() -> None:
    for row in re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "verdict.md").read_text(), re.MULTILINE):
        section = ""
        for name in re.findall(r"`([\w.*]+)`", row):
            path = section + name if name.startswith(".") else name
            section = path.rpartition(".")[0]
            assert any(metric.startswith(path.rstrip("*")) for metric in METRICS), path

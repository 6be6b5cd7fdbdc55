"""What the role gives a Grafana as files: it must read as the reference says, and agree with what the API is given.

Grafana itself is not started, since it cannot be had: the stub is given what the files say, and the modules find
nothing to change.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from . import ansible_programs
from .ansible_programs import ROOT
from .conftest import AdHoc
from .grafana_stub import TOKEN, GrafanaStub, Stored, serving

PLAYBOOK = """\
- hosts: monitoring
  gather_facts: false
  tasks:
    - name: Do it
      ansible.builtin.include_role:
        name: c100k.harness.monitoring
        tasks_from: provision
"""
INVENTORY = {
    "monitoring": {"hosts": {"localhost": {"ansible_connection": "local"}}},
    "servers": {"hosts": {}},
    "loadgens": {"hosts": {}},
    "all": {"vars": {"ansible_python_interpreter": sys.executable}},
}


def play(home: Path, playbook: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (home / "inventory.yml").write_text(json.dumps(INVENTORY))
    return ansible_programs.run("ansible-playbook", home, "-i", "inventory.yml", str(playbook), *arguments)


@pytest.fixture
def provisioned(tmp_path: Path) -> Path:
    """The folder of Grafana's settings, after the role was there twice."""
    folder = tmp_path / "grafana"
    (tmp_path / "playbook.yml").write_text(PLAYBOOK)
    given = {"monitoring_grafana_directory": str(folder), "monitoring_port": 9191}
    first, again = (play(tmp_path, tmp_path / "playbook.yml", "-e", json.dumps(given)) for _ in range(2))
    assert first.returncode == 0, first.stdout + first.stderr
    assert "changed=0" not in first.stdout
    assert "changed=0" in again.stdout, again.stdout + again.stderr
    return folder


@pytest.fixture
def grafana(provisioned: Path) -> Iterator[GrafanaStub]:
    """A stub that has what the files say."""
    (source,) = yaml.safe_load((provisioned / "provisioning/datasources/c100k.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioned / "provisioning/dashboards/c100k.yml").read_text())["providers"]
    with serving("12.2.0") as stub:
        read_only = not source.pop("editable")
        stub.data_sources[source["uid"]] = {**source, "id": 1, "version": 1, "readOnly": read_only}
        stub.folders["f"] = provider["folder"]
        for path in Path(provider["options"]["path"]).glob("*.json"):
            model = json.loads(path.read_text())
            stub.dashboards[model["uid"]] = Stored({**model, "id": 1, "version": 1}, "f", "")
        yield stub


def test_the_files_are_of_the_version_that_grafana_reads(provisioned: Path) -> None:
    for path in provisioned.glob("provisioning/*/c100k.yml"):
        assert yaml.safe_load(path.read_text())["apiVersion"] == 1
    (provider,) = yaml.safe_load((provisioned / "provisioning/dashboards/c100k.yml").read_text())["providers"]
    assert provider["type"] == "file"
    # Else the API may not change what came as a file.
    assert provider["allowUiUpdates"]
    assert sorted(path.name for path in Path(provider["options"]["path"]).iterdir()) == sorted(
        path.name for path in (ROOT / "dashboards").glob("*.json")
    )


def test_the_api_has_nothing_to_add(grafana: GrafanaStub, ad_hoc: AdHoc) -> None:
    reach = {"url": grafana.url, "token": TOKEN}
    source = {**reach, "prometheus_url": "http://127.0.0.1:9191"}
    done = ad_hoc("grafana_data_source", source, "--diff")
    assert not done["changed"], ad_hoc.stdout
    for path in (ROOT / "dashboards").glob("*.json"):
        done = ad_hoc("grafana_dashboard", {**reach, "path": str(path), "folder": "c100k"}, "--diff")
        assert not done["changed"], ad_hoc.stdout
    assert grafana.writes == []


def test_the_playbook_is_one(tmp_path: Path) -> None:
    done = play(tmp_path, ROOT / "playbooks" / "grafana.yml", "--syntax-check")
    assert done.returncode == 0, done.stderr


def test_a_password_is_asked_for_before_anything_is_done(tmp_path: Path) -> None:
    done = play(tmp_path, ROOT / "playbooks" / "grafana.yml", "-e", "ansible_become=false")
    assert done.returncode != 0
    assert "missing required arguments: monitoring_grafana_admin_password" in done.stdout

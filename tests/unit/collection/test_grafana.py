"""Dashboards and annotations by `ansible`, against a stub of Grafana."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from c100k import report

from ..controller.conftest import HOLD, RAMP_S, START, RawRun
from .conftest import AdHoc
from .grafana_stub import TOKEN, USER, GrafanaStub, serving

MODEL = {"uid": "overview", "title": "Overview", "schemaVersion": 41, "panels": [{"id": 1, "type": "stat"}]}
RUN_ID = "20261118T110000Z-load"

#: For what does not depend on the version.
newest = pytest.mark.parametrize("grafana", ["12.2.0"], indirect=True)

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(params=["11.6.0", "12.2.0"])
def grafana(request: pytest.FixtureRequest) -> Iterator[GrafanaStub]:
    with serving(request.param) as stub:
        yield stub


@pytest.fixture
def dashboard(ad_hoc: AdHoc, grafana: GrafanaStub) -> Ask:
    def ask(*options: str, **given: Any) -> dict[str, Any]:
        return ad_hoc("grafana_dashboard", {"url": grafana.url, "token": TOKEN, **given}, *options)

    return ask


@pytest.fixture
def run_dir(raw_run: RawRun) -> str:
    """A run with a fault."""
    run = raw_run.write()
    at = HOLD.start + 2
    notes = [
        {"at": at + seconds, "host": "node2", "name": "outage", "kind": "silent_death", "state": state}
        for state, seconds in (("injected", 0), ("healed", 3), ("healthy", 4.5))
    ]
    run.faults.write_text("".join(f"{json.dumps(note)}\n" for note in notes))
    report.write(run)
    return str(run.path)


@pytest.fixture
def annotation(ad_hoc: AdHoc, grafana: GrafanaStub, run_dir: str) -> Ask:
    def ask(*options: str, **given: Any) -> dict[str, Any]:
        return ad_hoc("grafana_annotation", {"url": grafana.url, "token": TOKEN, "run_dir": run_dir, **given}, *options)

    return ask


def test_a_dashboard_is_put_into_its_folder_once(
    dashboard: Ask, grafana: GrafanaStub, ad_hoc: AdHoc, tmp_path: Path
) -> None:
    wanted = {"dashboard": MODEL, "folder": "c100k"}
    assert dashboard("--check", "--diff", **wanted)["changed"]
    assert '+    "title": "Overview",' in ad_hoc.stdout
    assert '+  "folder": "c100k"' in ad_hoc.stdout
    assert grafana.writes == []

    done = dashboard(**wanted, message="the first")
    assert (done["changed"], done["uid"]) == (True, "overview")
    assert grafana.writes == ["POST /api/folders", "POST /api/dashboards/db"]
    stored = grafana.dashboards["overview"]
    assert grafana.folders[stored.folder_uid] == "c100k"
    assert stored.message == "the first"
    assert {key: stored.model[key] for key in ("uid", "title", "panels")} == {
        key: MODEL[key] for key in ("uid", "title", "panels")
    }

    grafana.writes.clear()
    assert not dashboard(**wanted)["changed"]
    # It stays in its folder when none is named.
    assert not dashboard(dashboard=MODEL)["changed"]
    (tmp_path / "overview.json").write_text(json.dumps(MODEL))
    assert not dashboard(path=str(tmp_path / "overview.json"))["changed"]
    assert grafana.writes == []


@newest
def test_only_what_differs_is_saved(dashboard: Ask, grafana: GrafanaStub, ad_hoc: AdHoc) -> None:
    dashboard(dashboard=MODEL, folder="c100k")
    folder_uid = grafana.dashboards["overview"].folder_uid
    grafana.writes.clear()

    renamed = {**MODEL, "title": "All of it"}
    assert dashboard("--check", "--diff", dashboard=renamed)["changed"]
    assert '-    "title": "Overview",' in ad_hoc.stdout
    assert '+    "title": "All of it",' in ad_hoc.stdout
    assert grafana.dashboards["overview"].model["title"] == "Overview"
    assert dashboard(dashboard=renamed)["changed"]
    assert grafana.dashboards["overview"].folder_uid == folder_uid
    assert grafana.dashboards["overview"].model["version"] == 2

    assert dashboard(dashboard=renamed, folder="")["changed"]
    assert grafana.dashboards["overview"].folder_uid == ""
    assert dashboard(dashboard=renamed, folder="c100k")["changed"]
    assert grafana.dashboards["overview"].folder_uid == folder_uid
    assert grafana.writes == ["POST /api/dashboards/db"] * 3


@newest
def test_a_dashboard_is_removed_once(dashboard: Ask, grafana: GrafanaStub) -> None:
    dashboard(dashboard=MODEL)
    assert dashboard("--check", uid="overview", state="absent")["changed"]
    assert "overview" in grafana.dashboards
    assert dashboard(uid="overview", state="absent")["changed"]
    assert grafana.dashboards == {}
    assert not dashboard(uid="overview", state="absent")["changed"]


def test_a_data_source_is_put_in_its_place_once(ad_hoc: AdHoc, grafana: GrafanaStub) -> None:
    def ask(*options: str, **given: Any) -> dict[str, Any]:
        return ad_hoc("grafana_data_source", {"url": grafana.url, "token": TOKEN, **given}, *options)

    wanted = {"prometheus_url": "http://127.0.0.1:9090"}
    assert ask("--check", "--diff", **wanted)["changed"]
    assert '+  "url": "http://127.0.0.1:9090"' in ad_hoc.stdout
    assert grafana.writes == []
    assert ask(**wanted)["changed"]
    assert grafana.data_sources["c100k"]["type"] == "prometheus"
    assert not ask(**wanted)["changed"]

    # What somebody has set beside it stays.
    grafana.data_sources["c100k"]["jsonData"]["manageAlerts"] = True
    grafana.writes.clear()
    assert not ask(**wanted)["changed"]
    assert ask(prometheus_url="http://127.0.0.1:9091")["changed"]
    assert grafana.writes == ["PUT /api/datasources/uid/c100k"]
    assert grafana.data_sources["c100k"]["url"] == "http://127.0.0.1:9091"
    settings = {"httpMethod": "POST", "timeInterval": "5s", "manageAlerts": True}
    assert grafana.data_sources["c100k"]["jsonData"] == settings

    assert ask("--check", state="absent")["changed"]
    assert ask(state="absent")["changed"]
    assert grafana.data_sources == {}
    assert not ask(state="absent")["changed"]
    assert "A data source that is to be present needs a prometheus_url." in ask()["msg"]


@newest
def test_a_user_may_use_a_password(dashboard: Ask, grafana: GrafanaStub) -> None:
    name, password = USER
    assert dashboard(dashboard=MODEL, username=name, password=password)["changed"]
    assert "overview" in grafana.dashboards


@newest
@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"dashboard": MODEL, "token": "wrong"}, "refuses the dashboard: Invalid API key (401)"),
        ({"dashboard": {**MODEL, "title": ""}}, "refuses the dashboard: Dashboard title cannot be empty (400)"),
        ({"dashboard": MODEL, "url": "http://127.0.0.1:1"}, "Grafana at http://127.0.0.1:1 does not answer about"),
        ({"dashboard": {"title": "None"}}, "A dashboard needs a uid"),
        ({"uid": "overview"}, "needs a model: give dashboard or path"),
        ({"dashboard": MODEL, "path": "a.json"}, "Give either dashboard or path, not both."),
        ({"path": "absent.json"}, "absent.json is no dashboard: [Errno 2]"),
    ],
)
def test_what_goes_wrong_is_a_sentence(dashboard: Ask, given: dict[str, Any], complaint: str) -> None:
    done = dashboard(**given)
    assert done["failed"]
    assert complaint in done["msg"]
    assert TOKEN not in done["msg"]


@newest
def test_a_python_without_the_client_is_told(dashboard: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "grafana_client.py").write_text("raise ImportError('No module named grafana_client')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    done = dashboard(dashboard=MODEL)
    assert done["failed"]
    assert "missing from Ansible's Python; run `make setup`. No module named grafana_client" in done["msg"]


def test_phases_and_faults_are_on_the_time_line_once(annotation: Ask, grafana: GrafanaStub, ad_hoc: AdHoc) -> None:
    assert annotation("--check", "--diff")["added"] == 5
    assert "silent death of node2, whole again after 4.5 s [c100k, fault, host:node2," in ad_hoc.stdout
    assert grafana.writes == []

    done = annotation()
    assert (done["changed"], done["added"], done["removed"]) == (True, 5, 0)
    own = {"c100k", f"run:{RUN_ID}"}
    start, hold = START * 1000, HOLD.start * 1000
    assert [
        (each["time"], each["timeEnd"], each["text"], set(each["tags"]) - own)
        for each in sorted(grafana.annotations.values(), key=lambda each: each["time"])
    ] == [
        (start, start + RAMP_S * 1000, f"ramp of {RUN_ID}", {"phase"}),
        (start + RAMP_S * 1000, hold, f"settle of {RUN_ID}", {"phase"}),
        (hold, HOLD.stop * 1000, f"hold of {RUN_ID}", {"phase"}),
        (hold + 2000, hold + 6500, "silent death of node2, whole again after 4.5 s", {"fault", "host:node2"}),
        (HOLD.stop * 1000, HOLD.stop * 1000 + 400, f"stop of {RUN_ID}", {"phase"}),
    ]
    assert all(own < set(each["tags"]) for each in grafana.annotations.values())
    assert not annotation()["changed"]
    # Those of one dashboard are others.
    assert annotation(dashboard_uid="overview")["added"] == 5
    assert not annotation(dashboard_uid="overview")["changed"]
    assert {each["dashboardUID"] for each in grafana.annotations.values()} == {None, "overview"}


@newest
def test_what_the_run_has_no_more_is_removed_and_notes_are_left(annotation: Ask, grafana: GrafanaStub) -> None:
    annotation()
    wrong = next(each for each in grafana.annotations.values() if each["text"] == f"hold of {RUN_ID}")
    wrong["timeEnd"] += 1
    note = {**wrong, "id": 900, "text": "we looked here", "tags": ["c100k", f"run:{RUN_ID}"]}
    other = {**wrong, "id": 901, "tags": ["c100k", "run:another", "phase"]}
    grafana.annotations |= {900: note, 901: other}

    done = annotation()
    assert (done["added"], done["removed"]) == (1, 1)
    assert wrong["id"] not in grafana.annotations

    assert annotation("--check", state="absent")["removed"] == 5
    assert annotation(state="absent")["removed"] == 5
    assert grafana.annotations == {900: note, 901: other}
    assert not annotation(state="absent")["changed"]

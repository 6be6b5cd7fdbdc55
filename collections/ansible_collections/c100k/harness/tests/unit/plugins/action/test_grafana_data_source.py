# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""A data source that Grafana has, held against one that is wanted."""

from __future__ import annotations

from ansible_collections.c100k.harness.plugins.action import grafana_data_source

MODEL = {"uid": "c100k", "url": "http://a", "jsonData": {"timeInterval": "5s"}}
STORED = {"id": 3, "version": 2, **MODEL, "jsonData": {"timeInterval": "5s", "manageAlerts": True}}


def test_only_what_is_spoken_of_is_compared():
    assert grafana_data_source.part(STORED, MODEL) == MODEL
    assert grafana_data_source.part({"uid": "c100k"}, MODEL) == {
        "uid": "c100k",
        "url": None,
        "jsonData": {"timeInterval": None},
    }


def test_what_is_not_spoken_of_is_kept():
    wanted = {**MODEL, "url": "http://b", "jsonData": {"timeInterval": "1s"}}
    assert grafana_data_source.merged(STORED, wanted) == {
        "id": 3,
        "version": 2,
        "uid": "c100k",
        "url": "http://b",
        "jsonData": {"timeInterval": "1s", "manageAlerts": True},
    }
    assert grafana_data_source.merged({}, MODEL) == MODEL

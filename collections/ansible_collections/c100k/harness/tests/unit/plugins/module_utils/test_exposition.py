# Copyright: the c100k authors
# SPDX-License-Identifier: Apache-2.0
"""What programs show for Prometheus."""

from __future__ import annotations

from ansible_collections.c100k.harness.plugins.module_utils import exposition

TEXT = """\
# HELP a_closed_total Connections that were closed.
# TYPE a_closed_total counter
a_closed_total{cause="reset",run="r"} 3
a_closed_total{cause="say \\"bye\\"",run="r"} 1e3
a_share 0.25
a_seconds_bucket{le="1"} 7
a_build_info{version="1"} 1
a_limit NaN
another 5
"""


def test_series_have_their_labels_and_counts_no_point():
    series = exposition.read(TEXT)

    assert series[0] == ("a_closed_total", {"cause": "reset", "run": "r"}, 3)
    assert isinstance(series[0][2], int)
    assert ("a_share", {}, 0.25) in series
    assert len(series) == 7


def test_figures_are_told_by_name_and_own_labels():
    assert exposition.by_name(exposition.read(TEXT), "a_") == {
        'closed_total{cause="reset"}': 3,
        'closed_total{cause="say \\"bye\\""}': 1000,
        "share": 0.25,
    }


def test_nothing_is_read_of_nothing():
    assert exposition.read("") == []
    assert exposition.by_name([], "a_") == {}

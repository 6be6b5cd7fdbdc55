"""The report of a run as a browser gets it: what it says, what it says is absent, and that it needs nothing else."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable
from html.parser import HTMLParser

import pytest

from c100k import chart, cli
from c100k.run_directory import RunDirectory

from .conftest import HOLD, START, RawRun

_EMPTY = {"meta", "link", "br"}


class Page(HTMLParser):
    """The texts of a page by element, and all elements with their attributes; it fails where they do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[tuple[str, list[str]]] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag not in _EMPTY:
            self._open.append((tag, []))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        for _, texts in self._open:
            texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        opened, texts = self._open.pop()
        assert opened == tag
        text = " ".join("".join(texts).split())
        self.texts.setdefault(tag, []).append(text)
        if tag in ("td", "th"):
            self.rows[-1].append(text)

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == first)

    def marks(self, css: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.elements if attributes.get("class") == css]


def report(run: RunDirectory, code: int = 0) -> Page:
    assert cli.main(["report", str(run.path)]) == code
    return Page(run.page.read_text())


def test_the_verdict_comes_first_and_then_each_rule_with_how_sure_it_is(raw_run: RawRun) -> None:
    page = report(raw_run.write())
    assert page.texts["h1"][0].startswith("PASS 200 of 200 connections held for 10 s (scaled down")
    assert page.row("✓ p95 response time (ms)")[1:] == ["2 ms", "< 100 ms", "", "1,000 messages", "2 ms to 2 ms"]
    # A thousand messages without an error do not tell whether one in two thousand fails.
    assert page.row("✓ error rate")[1:] == [
        "0%",
        "< 0.05%",
        "",
        "1,000 messages",
        "0% to 0.3827% the limit lies within",
    ]
    assert page.row("✓ unexplained closes")[1:] == ["0", "= 0", "", "10 seconds", "counted"]


def test_a_broken_rule_and_the_reasons_are_shown(raw_run: RawRun) -> None:
    raw_run.hosts[0].response_us = [150_000] * 50
    page = report(raw_run.write(), code=1)
    assert page.texts["h1"][0].startswith("FAIL")
    assert page.row("✗ p95 response time (ms)")[1:3] == ["150 ms", "< 100 ms"]
    assert "p95 response time (ms): latency_ms.p95 = 150 is not < 100" in page.texts["li"]


def test_the_page_needs_nothing_but_itself(raw_run: RawRun) -> None:
    run = raw_run.write()
    page = report(run)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not [attributes for _, attributes in page.elements if {"src", "href"} & attributes.keys()]
    assert not re.search(r"url\(|@import|https?://", run.page.read_text())


def test_what_hosts_say_is_shown_as_text(raw_run: RawRun) -> None:
    run = raw_run.write()
    failure = {"host": "node1", "task": "x", "message": "<script>alert(1)</script> & more"}
    (run.path / "failure-node1.json").write_text(json.dumps(failure))
    page = report(run, code=3)
    assert "script" not in {tag for tag, _ in page.elements}
    assert any("<script>alert(1)</script> & more" in text for text in page.texts["li"])


def test_what_is_absent_is_said_so(raw_run: RawRun) -> None:
    run = raw_run.write()
    for log in run.histograms.iterdir():
        log.unlink()
    page = report(run, code=1)
    said = page.texts["p"]
    assert "No response times: no histogram was left by this run." in said
    assert "No percentile curve: no histogram was left by this run." in said
    assert "No fault was injected in this run, so nothing is known of recovery." in said
    assert "No record of tuning was left by this run." in said
    assert page.row("✗ p95 response time (ms)")[1] == "unknown"


def test_a_run_that_left_nothing_has_a_page(raw_run: RawRun) -> None:
    raw_run.hosts = []
    run = raw_run.write()
    run.plan.write_text(
        run.plan.read_text().replace("hosts: []", "hosts: [{name: a, address: b, groups: [servers, loadgens]}]")
    )
    page = report(run, code=3)
    assert page.texts["h1"][0].startswith("INVALID unknown of 200 connections")
    assert "No count of connections was left by this run." in page.texts["p"]


def test_faults_are_marked_on_the_charts_and_listed_by_their_number(raw_run: RawRun) -> None:
    run = raw_run.write()
    died = HOLD.start + 2
    notes = [
        {"at": at, "host": "node2", "name": "outage", "state": state, "kind": "silent_death"}
        for at, state in ((died, "injected"), (died + 3, "healed"), (died + 4.5, "healthy"))
    ]
    run.faults.write_text("".join(json.dumps(note) + "\n" for note in notes))
    columns = "session,lost_at,cause,from,to,attempts,resumed_at,missed,outcome"
    (run.host("node1") / "node1-w0-resumptions.csv").write_text(
        f"{columns}\n1,{died + 1},target_dead,node2,node1,1,{died + 2.25},0,resumed\n"
    )
    assert cli.main(["report", str(run.path)]) in (0, 1, 3)
    page = Page(run.page.read_text())
    row = page.row("1 silent death of node2")
    assert row[1:4] == [f"0:{died - START:02}", f"0:{died + 3 - START:02}", "1.5 s later"]
    assert row[4:9] == ["1.00 s", "2.25 s", "2.25 s", "2.25 s", "100.00%"]
    charts, sizes = 3, 2
    assert len(page.marks("mark")) == len(page.marks("span recovery")) == charts * sizes
    assert len(page.marks("span hold")) == charts * sizes
    assert "silent death of node2: 1 of 1 sessions resumed" in run.markdown.read_text()


def test_tuning_is_shown_before_and_after(raw_run: RawRun) -> None:
    run = raw_run.write()
    for host, before in (("node1", "128"), ("node2", "4096")):
        recorded = {"values": {"net.core.somaxconn": before, "net.ipv4.ip_local_port_range": "32768\t60999"}}
        (run.host(host) / "sysctl-before.json").write_text(json.dumps(recorded))
        (run.host(host) / "sysctl-after.txt").write_text(
            "net.core.somaxconn = 65535\nnet.ipv4.ip_local_port_range = 10000\t65535\n"
        )
    rows = [row for row in report(run).rows if row and row[0].startswith("net.")]
    assert rows == [
        ["net.core.somaxconn", "128", "65535", "node1"],
        ["net.core.somaxconn", "4096", "65535", "node2"],
        ["net.ipv4.ip_local_port_range", "32768 60999", "10000 65535", "all"],
    ]


def test_hosts_are_shown_with_what_they_used(raw_run: RawRun) -> None:
    run = raw_run.write()
    (run.host("node1") / "facts.json").write_text(json.dumps({"cores": 2, "memory_bytes": 4 * 2**30}))
    rows = "".join(f"{t},207,{2**30},{(t - START) * (1.5 if t in HOLD else 1.0)},{(t - START) * 2.0}\n" for t in HOLD)
    (run.host("node1") / "kernel.csv").write_text(f"t,tcp_inuse,mem_available_bytes,cpu_busy_s,cpu_total_s\n{rows}")
    assert cli.main(["report", str(run.path)]) == 3
    row = Page(run.page.read_text()).row("node12 processors, 4,096 MiB")
    assert row[2:5] == ["75%", "75%", "1,024 MiB"]
    assert row[5:9] == ["24 MiB", "0.00", "19 MiB", "0.01"]


def test_the_command_asks_for_the_same_run(raw_run: RawRun) -> None:
    faults = [{"at_s": 3, "kind": "death", "host": "node2", "heal_after_s": 1}]
    raw_run.settings.update(c100k_faults=faults, c100k_port=7000, c100k_substrate="lab", c100k_resume=True)
    page = report(raw_run.write())
    words = shlex.split(page.texts["pre"][0].replace(" \\ ", " "))
    assert words[0] == "c100k"
    options = cli.parser().parse_args(words[1:])
    assert (options.scenario, str(options.inventory)) == ("load", "inventory/lab")
    plain = dict(given.split("=", 1) for given in options.extra_vars if not given.startswith("{"))
    assert plain == {
        "c100k_connections": "200",
        "c100k_rate_per_s": "100",
        "c100k_fan_out_every_s": "0",
        "c100k_resume": "True",
    }
    assert json.loads(next(given for given in options.extra_vars if given.startswith("{"))) == {"c100k_faults": faults}


def test_a_run_of_listeners_shows_each_publish(raw_run: RawRun) -> None:
    raw_run.listen()
    page = report(raw_run.write())
    assert "No response times: no messages were intended in this run." in page.texts["p"]
    assert page.row("0:04")[1:] == ["200", "200", "0", "0", "80 ms", "2.5 ms"]


def test_the_summary_for_a_pull_request(raw_run: RawRun) -> None:
    raw_run.hosts[0].response_us = [150_000] * 50
    run = raw_run.write()
    report(run, code=1)
    lines = run.markdown.read_text().splitlines()
    assert lines[0].startswith("## ❌ FAIL: 200 of 200 connections held for 10 s")
    assert "| ✅ peak connections | 200 | ≥ 200 | counted | 10 seconds |" in lines
    assert any(line.startswith("| ❌ p95 response time (ms) | 150 ms | < 100 ms |") for line in lines)


@pytest.mark.parametrize(("worst", "y"), [(max, 1000.0), (min, -1000.0)])
def test_the_worst_of_many_seconds_is_what_is_drawn(worst: Callable[[Iterable[float]], float], y: float) -> None:
    points = [(float(t), y if t == 5003 else 0.0) for t in range(10_000)]
    drawing = chart.Chart(
        "a long run",
        chart.clock(0, 10_000),
        chart.linear(-1000, 1000, str),
        [chart.Line("a", points, worst=worst)],
    )
    path = re.search(r'class="line a" d="([^"]+)"', drawing.svg)
    assert path
    heights = {float(point.split()[1]) for point in re.split("[ML]", path[1]) if point}
    assert len(heights) == 2
    assert len(re.split("[ML]", path[1])) <= chart.WIDE.points + 1

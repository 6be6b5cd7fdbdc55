"""Runs without a plan: one command against one server, and a verdict."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from .conftest import command

Loadgen = Callable[..., subprocess.CompletedProcess[str]]
Serve = Callable[..., Any]

CONNECTIONS, RATE, DURATION = 6, 40, 1
LOAD = ("--connections", str(CONNECTIONS), "--rate", str(RATE), "--ramp", "0", "--settle", "1")
LOAD += ("--duration", str(DURATION))
# Nothing here is about speed; the machine may be busy.
PATIENT = ("--sla", "errors==0", "--sla", "connections==100%", "--sla", "max<30s")


def test_https_with_a_token_and_every_output(
    serve: Serve, loadgen: Loadgen, certificate: tuple[str, str], tmp_path: Path
) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("secret-1\n")
    authority, key = certificate
    server = serve("--tls-cert", authority, "--tls-key", key, "--token-file", str(tokens))
    output = tmp_path / "out"
    files = {form: tmp_path / f"results.{form}" for form in ("json", "junit", "html")}
    url = f"https://localhost:{server.port}/mcp"
    trust = ("--ca-file", authority)
    written = [word for form, path in files.items() for word in (f"--{form}", str(path))]
    ran = loadgen("run", url, *LOAD, *PATIENT, *trust, "--token-file", str(tokens), "--output", str(output), *written)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1] == "PASS"
    results = json.loads(files["json"].read_text())
    assert results["verdict"] == "PASS"
    assert results["targets"] == [url]
    assert (results["protocol"], results["connection"]) == ("2026-07-28", "stateless")
    assert results["messages"]["answered"] == results["messages"]["intended"] == RATE * DURATION
    assert results["connections"]["held_min"] == CONNECTIONS
    assert results["connections"]["closes"] == {"stop": CONNECTIONS}
    assert results["response_ms"]["samples"] == RATE * DURATION
    assert 0 < results["service_ms"]["p50"] <= results["response_ms"]["p50"] <= results["response_ms"]["max"]
    suite = ElementTree.fromstring(files["junit"].read_bytes())
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "0", "0")
    page = files["html"].read_text()
    assert "PASS" in page
    assert page.count("<svg") == 4
    assert "http:" not in page.replace(url, ""), "it needs nothing from elsewhere"
    assert not any("secret-1" in path.read_text() for path in [*output.iterdir(), *files.values()])
    # The same is computed again from the raw files.
    again = loadgen("report", str(output), *PATIENT)
    assert (again.returncode, again.stdout) == (0, ran.stdout)
    stricter = loadgen("report", str(output), "--sla", "p50<1us")
    assert stricter.returncode == 1
    assert "p50<1us is broken" in stricter.stdout

    refused = loadgen("run", url, *LOAD, "--token-file", str(tokens))
    assert refused.returncode == 1
    assert "its certificate is refused" in refused.stderr
    unknown = loadgen("run", url, *LOAD, "--insecure")
    assert unknown.returncode == 1
    assert "localhost answers initialize with an error: a bearer token is needed; give a token" in unknown.stderr


def test_a_token_from_the_environment_and_an_unchecked_certificate(
    serve: Serve, certificate: tuple[str, str], tmp_path: Path
) -> None:
    tokens = tmp_path / "token"
    tokens.write_text("secret-2\n")
    server = serve("--tls-cert", certificate[0], "--tls-key", certificate[1], "--token-file", str(tokens))
    ran = subprocess.run(
        command("run", f"https://127.0.0.1:{server.port}", *LOAD, *PATIENT, "--insecure", "--token-env", "THE_TOKEN"),
        env={**os.environ, "THE_TOKEN": "secret-2"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_stages_heartbeats_and_churn(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> None:
    server = serve()
    stages = ("--stage", "warm:1:20", "--stage", "peak:1:60")
    others = ("--connections", "6", "--settle", "1", "--heartbeat", "1", "--think", "0.01", "--churn", "3")
    written = ("--html", str(tmp_path / "page.html"), "--json", str(tmp_path / "results.json"))
    url = f"http://127.0.0.1:{server.port}/mcp"
    ran = loadgen("run", url, "--protocol", "2025-11-25", *stages, *others, *written, *PATIENT)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "warm: 1 s at 20/s, 20 intended, 20 answered: 20.0/s; errors 0" in ran.stdout
    assert "peak: 1 s at 60/s, 60 intended, 60 answered: 60.0/s; errors 0" in ran.stdout
    assert "80 intended, 80 sent, 80 answered: 40.0/s" in ran.stdout
    assert "churn          6 closed in their turn, 6 open again; 0 failed attempts" in ran.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["pings"]["sent"] == results["pings"]["answered"] > 0
    assert [stage["answered"] for stage in results["stages"]] == [20, 60]
    page = (tmp_path / "page.html").read_text()
    assert "<h2>Stages</h2>" in page
    assert "6 closed in their turn, 6 open again" in page

    stateless = loadgen("run", url, "--heartbeat", "1")
    assert stateless.returncode == 1
    assert "speaks 2026-07-28, which has no ping: leave the heartbeat" in stateless.stderr


def test_any_tool_over_tcp(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> None:
    server = serve("weather:app", "--tcp", "127.0.0.1:0")
    tool = ("--tool", "forecast", "--arguments", '{"city": "quito"}')
    ran = loadgen("run", f"tcp://localhost:{server.ports['tcp']}", *LOAD, *PATIENT, *tool)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{RATE * DURATION} intended, {RATE * DURATION} sent, {RATE * DURATION} answered" in ran.stdout
    assert "(session, MCP 2025-11-25), calls of forecast" in ran.stdout


def test_a_tool_that_answers_with_errors_fails(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> None:
    server = serve("weather:app")
    arguments, junit = tmp_path / "arguments.json", tmp_path / "junit.xml"
    arguments.write_text('{"city": "atlantis"}')
    tool = ("--tool", "forecast", "--arguments", f"@{arguments}")
    ran = loadgen("run", f"http://localhost:{server.port}/mcp", *LOAD, *tool, "--junit", str(junit))
    assert ran.returncode == 1
    assert f"errors         {RATE * DURATION}, 100.000% (rpc_error {RATE * DURATION})" in ran.stdout
    assert ran.stdout.splitlines()[-2:] == ["FAIL", "  - errors<1% is broken: errors 100%"]
    suite = ElementTree.fromstring(junit.read_bytes())
    [failure] = suite.findall("testcase/failure")
    assert failure.get("message") == "errors 100%"


def test_a_unix_socket(serve: Serve, loadgen: Loadgen, tmp_path: Path) -> None:
    serve("--unix", str(tmp_path / "mcp.sock"))
    ran = loadgen("run", f"unix://{tmp_path}/mcp.sock", *LOAD, *PATIENT)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(("options", "kind"), [((), "session"), (("--connection", "session_stream"), "session_stream")])
def test_a_server_of_the_elder_era_is_found_out(
    serve: Serve, loadgen: Loadgen, options: tuple[str, ...], kind: str
) -> None:
    server = serve(behaviour="http elder")
    ran = loadgen("run", f"http://127.0.0.1:{server.port}/mcp", *LOAD, *PATIENT, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"({kind}, MCP 2025-11-25)" in ran.stdout


def test_a_kind_of_connection_that_the_server_has_not(serve: Serve, loadgen: Loadgen) -> None:
    server = serve(behaviour="http elder")
    ran = loadgen("run", f"http://127.0.0.1:{server.port}/mcp", "--connection", "listen")
    assert ran.returncode == 1
    assert "does not speak 2026-07-28, which listen needs" in ran.stderr


def test_ctrl_c_leaves_a_summary_that_claims_nothing(serve: Serve) -> None:
    server = serve()
    load = ("--connections", "5", "--rate", "50", "--duration", "60", "--settle", "0")
    process = subprocess.Popen(
        command("run", f"http://127.0.0.1:{server.port}/mcp", *load),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any(line.startswith("hold") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 3, output + errors
    verdict = output.splitlines().index("INVALID")
    assert output.splitlines()[verdict + 1] == "  - the run did not come to its end: signal"


def test_lines_that_stay_on_a_terminal(serve: Serve) -> None:
    server = serve()
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        command("run", f"http://127.0.0.1:{server.port}/mcp", *LOAD), stdout=subprocess.PIPE, stderr=inner
    )
    os.close(inner)
    seen = b""
    give_up_at = time.monotonic() + 60
    while time.monotonic() < give_up_at:
        try:
            seen += os.read(outer, 4096)
        except OSError:  # nobody has the other end any more
            break
    process.communicate(timeout=60)
    os.close(outer)
    assert process.returncode == 0
    assert b"] " in seen
    assert b"s left" in seen
    assert b"\x1b[3A\x1b[2K" in seen or b"\x1b[4A\x1b[2K" in seen, "it goes up by what it wrote"
    assert f"{CONNECTIONS} of {CONNECTIONS} connections".encode() in seen


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("ftp://x/",), "the scheme 'ftp' is not known; these are: http, https, tcp, tcps, unix"),
        (("tcp://x",), "write tcp://HOST:PORT"),
        (("tcp://x:1/path",), "over tcp there are no paths"),
        (("http://x:99999/",), "Port out of range"),
        (("http://me:secret@x/",), "The address holds a user's name"),
        (("unix://relative/path",), "a Unix socket is written unix:///PATH"),
        (("http://x/a b",), "percent-encoded"),
        (("http://x/", "--sla", "p95<100"), "needs a unit of time"),
        (("http://x/", "--sla", "speed>1"), "speed is not measured"),
        (("http://x/", "--arguments", "[1]"), "arguments must be a JSON object"),
        (("http://x/", "--arguments", "{"), "this is not JSON"),
        (("http://x/", "--connections", "0"), "connections is 0"),
        (("http://x/", "--rate", "-1"), "rate_per_s is -1.0"),
        (("http://x/", "--protocol", "2020-01-01"), "protocol is '2020-01-01'"),
        (("http://x/", "--insecure"), "--ca-file and --insecure are for https:// and tcps://"),
        (("http://x/", "--token-env", "C100K_NO_SUCH"), "C100K_NO_SUCH: a bearer token must be one word"),
        (("http://x/", "--token-env", "A", "--token-file", "B"), "token needs either file or env"),
        (("tcp://x:1", "--token-env", "HOME"), "token needs transport: http"),
        (("https://x/", "--ca-file", "/nowhere.pem"), "/nowhere.pem: no certificates can be read"),
        (("http://x/", "--stage", "warm:100"), "'warm:100' is no stage; write one like warm:30:100"),
        (("http://x/", "--stage", "warm:5:9", "--duration", "5"), "--duration is what the stages take together"),
        (("http://x/", "--stage", "a:5:9", "--stage", "a:5:9"), "stages[1] has the name a of stages[0]"),
        (("http://x/", "--think", "-1"), "think_s is -1.0"),
        (("plan.yml", "--churn", "1", "--stage", "a:1:1"), "--stage, --churn go with a URL, not with a plan"),
        (("localhost:8000/mcp",), "localhost:8000/mcp is no file, and as an address it lacks its beginning: http://"),
        (("http://x:0/",), "http://x:0/: write http://HOST:PORT."),
        (("http://x/", "--duration", "0"), "--duration is 0; in less than a second nothing is measured"),
        (("http://x/", "--connection", "sesion"), "expected session, session_stream, stateless, listen or auto."),
        (("http://x/", "--tool", "a b"), "expected a text of visible ASCII characters, without spaces."),
        (("http://x/", "--data", "/nowhere"), "/nowhere: the arguments cannot be read: No such file or directory."),
        (("http://x/", "--arguments", '{"n": Infinity}'), "arguments holds what JSON has not"),
        (("http://x/", "--html", "/nowhere/page.html"), "no results can be written there: /nowhere is no directory"),
        (("plan.yml", "--rate", "5"), "--rate go with a URL, not with a plan"),
    ],
)
def test_wrong_usage_is_told_before_the_server_is_asked(
    loadgen: Loadgen, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = loadgen("run", *arguments)
    assert ran.returncode == 2, ran.stderr
    assert sentence in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_server_that_is_not_there(loadgen: Loadgen) -> None:
    ran = loadgen("run", "http://127.0.0.1:1/mcp")
    assert ran.returncode == 1
    assert ran.stderr == "http://127.0.0.1:1/mcp cannot be reached: Connection refused.\n"


def test_a_socket_that_is_not_there(loadgen: Loadgen, tmp_path: Path) -> None:
    ran = loadgen("run", f"unix://{tmp_path}/none.sock")
    assert ran.returncode == 1
    assert ran.stderr == f"unix://{tmp_path}/none.sock cannot be reached: No such file or directory.\n"


def test_a_report_of_nothing(loadgen: Loadgen, tmp_path: Path) -> None:
    ran = loadgen("report", str(tmp_path))
    assert ran.returncode == 2
    assert "no run can be read here" in ran.stderr

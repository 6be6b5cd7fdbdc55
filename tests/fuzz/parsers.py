"""The small parsers behind the doors, each by the first byte of an input."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from c100k_server.authentication import bearer_token
from c100k_server.cli import read_arguments
from c100k_server.config import Address
from c100k_server.errors import UsageError
from c100k_server.framing import split_lines
from c100k_server.http_connection import HttpRequest
from c100k_server.http_endpoint import accepts
from c100k_server.jsonrpc import RequestError
from c100k_server.param_headers import decode_header
from c100k_server.request_state import binding, unseal
from c100k_server.uri_template import UriTemplate
from c100k_server.worker_ids import worker_of
from fuzz import seeds
from fuzz.bench import STATE_KEY, Bench
from fuzz.judge import require

_MAX_LINE_BYTES = 30


def check(bench: Bench, data: bytes) -> None:
    """Raises `Finding`, or what a parser must not raise."""
    with bench.watched():
        _PARSERS[data[0] % len(_PARSERS) if data else 0](bench, data[1:])


def _framing(bench: Bench, data: bytes) -> None:
    stream = data.replace(b"\xff", b"")
    lines, partial, oversize = split_lines(None, stream, _MAX_LINE_BYTES)
    seen: list[bytes] = []
    rest: bytearray | None = None
    for segment in data.split(b"\xff"):
        whole, rest, ended = split_lines(rest, segment, _MAX_LINE_BYTES)
        seen += whole
        if ended:
            break
    require(seen == lines and (rest or b"") == (partial or b""), "segments change the lines", data)
    whole_lines = stream.split(b"\n")[:-1]
    require(lines == whole_lines[: len(lines)], "lines that are none", data)
    require(oversize or lines == whole_lines, "lines that are missing", data)


def _template(bench: Bench, data: bytes) -> None:
    text, _, uri = data.decode(errors="replace").partition("\n")
    try:
        template = UriTemplate(text)
    except ValueError:
        return
    values = template.match(uri)
    require(values is None or set(values) == set(template.variables), "other variables", text, uri)
    require(values is None or values or text == uri, "a match of something else", text, uri)


def _header(bench: Bench, data: bytes) -> None:
    value = data.decode("latin-1")
    decoded = decode_header(value)
    require(decoded == value or value.startswith("=?base64?"), "a value that changed", value)


def _state(bench: Bench, data: bytes) -> None:
    try:
        given = unseal(STATE_KEY, binding("tools/call", "elicit", {}), data.decode(errors="replace"))
    except RequestError:
        return
    require(isinstance(given, dict), "a state that is no object", given)


def _address(bench: Bench, data: bytes) -> None:
    try:
        address = Address.parse(data.decode(errors="replace"))
    except UsageError:
        return
    require(0 <= address.port < 65536 and Address.parse(str(address)) == address, "an address that changes", address)


def _configuration(bench: Bench, data: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file, mock.patch.dict("os.environ", clear=True):
        Path(file.name).write_bytes(data)
        try:
            read_arguments(["serve", "--config", file.name])
        except UsageError as error:
            require("\n" not in str(error) or b"\n" in data or b"\\" in data, "more than a sentence", str(error))


def _token(bench: Bench, data: bytes) -> None:
    header = data.decode("latin-1")
    token = bearer_token(header)
    require(token is None or (token in header and header.lower().startswith("bearer")), "a token of nobody", header)


def _names(bench: Bench, data: bytes) -> None:
    """What decides on a request by its headers alone."""
    first, _, second = data.decode("latin-1").partition("\n")
    request = HttpRequest()
    request.headers = {"host": first, "origin": second}
    trusted = bench.http._is_trusted(request)
    local = any(name in first.lower() for name in ("localhost", "127.0.0.1", "[::1]", "example.org"))
    require(local or not trusted, "a stranger is trusted", first, second)
    accepts({"accept": first}, "application/json", second)
    worker = worker_of(first)
    require(worker is None or 0 <= worker < 100_000, "no worker", first)


_PARSERS: tuple[Callable[[Bench, bytes], None], ...] = (
    _framing, _template, _header, _state, _address, _configuration, _token, _names,
)  # fmt: skip


def parser_seeds() -> list[bytes]:
    state = seeds.state("tools/call", "elicit", {}, {"input1": {"action": "accept"}}).encode()
    texts: tuple[tuple[bytes, ...], ...] = (
        (b"one\ntw\xffo\n\xff\nthree", b"x" * 31 + b"\n", b"a\xff" * 31),
        (b"x://{a}/{b}\nx://1/2", b"x://{a}-{b}\nx://--%2F-", b"x://{a}{b}\nx://12", b"x://a\nx://a"),
        (b"plain", b"=?base64?aMOpbGxv?=", b"=?base64?aGk?="),
        (state, state[:-4], b"AAAA"),
        (b":7000", b"[::1]:80", b"127.0.0.1:65536", b"a:b:c", b"h:" + b"9" * 4400),
        (
            b'tcp = ":7000"\nworkers = "auto"\nhttp-hosts = ["a", "b"]\n',
            b"drain-s = 1.5",
            b"a = 1",
            b"[serve]\n",
            b"a = " + b"[" * 1500,
        ),
        (b"Bearer one", b"bearer  two ", b"Basic YTpi"),
        (b"localhost:8000\nhttp://localhost:1", b"evil\nhttps://example.org", b"0-5e55\n2-1", b"text/*;q=1, */*\na/b"),
    )
    return [bytes([number]) + text for number, each in enumerate(texts) for text in each]


def parser_words() -> list[bytes]:
    words = (
        b"{a} %2F %zz =?base64? ?= tcp http workers auto max-line-bytes drain-s http-hosts [::1] localhost */* 0- \xff"
    )
    return [*words.split(), b" = ", b'"', b"\n", b"://"]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One byte or one piece more, fewer or twice; libFuzzer does the rest."""
    if not data:
        return data
    start = chance.randrange(len(data))
    piece = data[start : start + chance.choice((1, 4, 16))]
    return data[:start] + piece * chance.choice((0, 2, 2, 300)) + data[start + len(piece) :]

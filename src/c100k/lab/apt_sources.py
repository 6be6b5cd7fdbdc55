"""The machine's own apt sources, in both formats of sources.list(5): they name the mirror an image is built from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from c100k.lab.errors import MirrorUnknownError

APT_FOLDER = Path("/etc/apt")
DEFAULT_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class AptSource:
    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str | None


@dataclass(frozen=True)
class Mirror:
    uri: str
    suite: str
    keyring: Path


def parse_one_line(text: str) -> Iterator[AptSource]:
    """`deb [option=value ...] uri suite component ...`, one a line."""
    for raw in text.splitlines():
        line = raw.split("#", 1)[0].strip()
        match = re.fullmatch(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)", line)
        if match is None:
            continue
        options = dict(option.split("=", 1) for option in (match[1] or "").split() if "=" in option)
        yield AptSource(match[2], match[3], tuple(match[4].split()), options.get("signed-by"))


def parse_deb822(text: str) -> Iterator[AptSource]:
    """Stanzas of `Field: value`; a line that starts with white space continues the field before it."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        field = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and field:
                fields[field] += "\n" + line.strip()
            elif ":" in line:
                name, value = line.split(":", 1)
                field = name.strip().lower()
                fields[field] = value.strip()
        if fields.get("enabled", "yes").lower() in ("no", "false", "off", "0"):
            continue
        if "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield AptSource(uri, suite, tuple(fields.get("components", "").split()), fields.get("signed-by"))


def read_sources(folder: Path = APT_FOLDER) -> list[AptSource]:
    """All sources in the order in which apt reads them."""
    sources: list[AptSource] = []
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    for path in files:
        if path.is_file() and path.suffix in (".list", ".sources"):
            parse = parse_deb822 if path.suffix == ".sources" else parse_one_line
            sources.extend(parse(path.read_text()))
    return sources


def host_codename(os_release: str) -> str:
    """The codename in the text of an os-release(5) file when it is Debian's, else `bookworm`."""
    fields = dict(line.split("=", 1) for line in shlex.split(os_release, comments=True) if "=" in line)
    codename = fields.get("VERSION_CODENAME", "")
    return codename if fields.get("ID") == "debian" and codename else "bookworm"


def find_mirror(codename: str, folder: Path = APT_FOLDER) -> Mirror:
    """The first source of the release itself (not of its updates). Raises MirrorUnknownError when there is none."""
    for source in read_sources(folder):
        if source.suite.rstrip("/") != codename or "main" not in source.components:
            continue
        uri = _resolve_mirror_list(source.uri)
        if uri is not None:
            return Mirror(uri.rstrip("/"), codename, _keyring(source.signed_by))
    raise MirrorUnknownError(codename, folder)


def _resolve_mirror_list(uri: str) -> str | None:
    """Debian's cloud images name a local file of mirrors (apt-transport-mirror(1)); debootstrap needs one of them."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https", "file", "copy"):
        return uri
    if parts.scheme == "mirror+file" and Path(parts.path).is_file():
        for line in Path(parts.path).read_text().splitlines():
            words = line.split("#", 1)[0].split()
            if words:
                return words[0]
    return None


def _keyring(signed_by: str | None) -> Path:
    """`Signed-By` may also hold a key block or a fingerprint; then Debian's own keyring has to do."""
    if signed_by is not None and signed_by.startswith("/"):
        return Path(signed_by.split()[0].split(",")[0])
    return DEFAULT_KEYRING

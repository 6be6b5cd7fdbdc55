from __future__ import annotations

from pathlib import Path

import pytest

from c100k.lab.apt_sources import DEFAULT_KEYRING, Mirror, find_mirror, host_codename, parse_deb822, parse_one_line
from c100k.lab.errors import MirrorUnknownError

DEB822 = """\
# the release and its updates
Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/example.gpg

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
"""

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/example.gpg] https://mirror.example/debian bookworm main contrib # why
deb http://mirror.example/security bookworm-security main
"""


def folder_with(tmp_path: Path, **files: str) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    for name, text in files.items():
        path = tmp_path / "sources.list" if name == "sources" else tmp_path / "sources.list.d" / name.replace("_", ".")
        path.write_text(text)
    return tmp_path


def test_deb822_stanzas_give_one_source_for_each_uri_and_suite() -> None:
    sources = list(parse_deb822(DEB822))
    assert [(source.uri, source.suite) for source in sources] == [
        ("http://mirror.example/debian/", "bookworm"),
        ("http://mirror.example/debian/", "bookworm-updates"),
        ("http://mirror.example/security", "bookworm-security"),
    ]
    assert sources[0].components == ("main", "contrib")
    assert sources[0].signed_by == "/usr/share/keyrings/example.gpg"


@pytest.mark.parametrize("line", ["Enabled: no", "Types: deb-src"])
def test_a_disabled_or_source_stanza_is_left_out(line: str) -> None:
    text = "Types: deb\nURIs: http://m.example\nSuites: bookworm\nComponents: main\n" + line
    assert list(parse_deb822(text)) == []


def test_one_line_entries_with_options_and_comments() -> None:
    sources = list(parse_one_line(ONE_LINE))
    assert [(source.uri, source.suite) for source in sources] == [
        ("https://mirror.example/debian", "bookworm"),
        ("http://mirror.example/security", "bookworm-security"),
    ]
    assert sources[0].components == ("main", "contrib")
    assert sources[0].signed_by == "/etc/apt/keyrings/example.gpg"


def test_the_mirror_of_the_release_is_found_in_either_format(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, debian_sources=DEB822)
    assert find_mirror("bookworm", folder) == Mirror(
        "http://mirror.example/debian", "bookworm", Path("/usr/share/keyrings/example.gpg")
    )
    (folder / "sources.list").write_text(ONE_LINE)
    assert find_mirror("bookworm", folder).uri == "https://mirror.example/debian"


def test_a_key_that_is_not_a_file_leaves_debians_own_keyring(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, debian_sources=DEB822)
    assert find_mirror("bookworm-security", folder).keyring == DEFAULT_KEYRING


def test_a_list_of_mirrors_as_in_debians_cloud_images_gives_its_first(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors.list"
    mirrors.write_text("# generated\nhttps://near.example/debian\nhttps://far.example/debian\n")
    folder = folder_with(tmp_path, sources=f"deb mirror+file:{mirrors} bookworm main\n")
    assert find_mirror("bookworm", folder).uri == "https://near.example/debian"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "deb cdrom:[disc]/ bookworm main",
        "deb http://m.example/debian bookworm contrib",
        "deb http://m.example sid main",
    ],
)
def test_without_a_mirror_of_the_release_the_refusal_says_what_to_add(tmp_path: Path, text: str) -> None:
    folder = folder_with(tmp_path, sources=text)
    with pytest.raises(MirrorUnknownError, match="add a `deb` entry for suite bookworm"):
        find_mirror("bookworm", folder)


@pytest.mark.parametrize(
    ("os_release", "codename"),
    [
        ('ID=debian\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian GNU/Linux 13"\n', "trixie"),
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nHOME_URL="x"\n', "bookworm"),
        ("", "bookworm"),
    ],
)
def test_the_release_is_the_hosts_when_it_is_debian(os_release: str, codename: str) -> None:
    assert host_codename(os_release) == codename

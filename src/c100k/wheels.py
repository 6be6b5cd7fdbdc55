"""Releases for the hosts: one tar of wheels, built once on the controller and installed offline by the pip beside them.

A release's version names its content (`0.1.0+1f3a9c02be71`), so a host that has the version has exactly these files.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pip

from c100k.errors import C100KError
from c100k.project import CACHE, REQUIREMENTS, ROOT

#: The oldest glibc a host may have; Debian 12 has 2.36.
_PLATFORMS = (
    "manylinux_2_28",
    "manylinux_2_17",
    "manylinux2014",
    "manylinux_2_12",
    "manylinux2010",
    "manylinux_2_5",
    "manylinux1",
)

PACKAGES = ("server", "loadgen")

#: To be raised when the code below puts something else into a tar.
_LAYOUT = 2


class ReleaseError(C100KError):
    """A release could not be built."""

    def __init__(self, package: str, output: str) -> None:
        tail = " ".join(output.split())[-600:]
        super().__init__(f"The release of `{package}` could not be built: {tail}")


@dataclass(frozen=True)
class Release:
    """A tar of wheels, the package and all it depends on, for one Python and machine; and a pip that installs them."""

    package: str
    version: str
    path: Path
    changed: bool


def build_release(
    package: str, python: str = "3.11", machine: str = "x86_64", cache: Path = CACHE / "releases"
) -> Release:
    """Build the release of `package` for hosts with `python` (`"3.11"`) on `machine` (`"x86_64"`), unless it is cached.

    Raises:
        ReleaseError: when pip cannot build or fetch a wheel, with the end of its output.
    """
    source, lock = ROOT / package, REQUIREMENTS / f"{package}.txt"
    version = f"{_base_version(source)}+{_digest(source, lock)}"
    path = cache / f"c100k-{package}-{version}-cp{python.replace('.', '')}-{machine}-{_LAYOUT}.tar"
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "lock"):
        if path.exists():
            return Release(package, version, path, changed=False)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            wheels = Path(work) / "wheels"
            _download(package, lock, python, machine, wheels)
            _build(package, source, version, Path(work) / "source", wheels)
            _pack_pip(wheels / "pip.zip")
            packed = Path(work) / path.name
            with tarfile.open(packed, "w") as tar:
                for wheel in sorted(wheels.iterdir()):
                    tar.add(wheel, arcname=wheel.name)
            packed.rename(path)
    return Release(package, version, path, changed=True)


def _base_version(source: Path) -> str:
    found = re.search(r'^version = "(.+)"$', (source / "pyproject.toml").read_text(), re.MULTILINE)
    if not found:
        raise ReleaseError(source.name, "its pyproject.toml has no version")
    return found[1]


def _files(source: Path) -> Iterable[Path]:
    yield from (source / "pyproject.toml", source / "README.md")
    yield from sorted(
        path for path in (source / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )


def _digest(source: Path, lock: Path) -> str:
    digest = hashlib.sha256(lock.read_bytes())
    for path in _files(source):
        digest.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _download(package: str, lock: Path, python: str, machine: str, wheels: Path) -> None:
    platforms = [argument for name in _PLATFORMS for argument in ("--platform", f"{name}_{machine}")]
    arguments = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--python-version", python, *platforms]
    _pip(package, ["download", "--quiet", *arguments, "--requirement", str(lock), "--dest", str(wheels)])


def _build(package: str, source: Path, version: str, copy: Path, wheels: Path) -> None:
    for path in _files(source):
        target = copy / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    project = copy / "pyproject.toml"
    project.write_text(re.sub(r'^version = ".+"$', f'version = "{version}"', project.read_text(), flags=re.MULTILINE))
    _pip(package, ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy)])


def _pack_pip(archive: Path) -> None:
    """The pip that is used here, which runs from its archive: it need not be installed where it is used once."""
    folder = Path(pip.__file__).parent
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                packed.write(path, path.relative_to(folder.parent))


def _pip(package: str, arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(package, done.stderr or done.stdout)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

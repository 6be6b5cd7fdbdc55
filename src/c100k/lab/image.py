"""The Debian image that all machines of all labs share read-only: built once, kept under a digest of its recipe."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from c100k.lab.apt_sources import Mirror, find_mirror, host_codename
from c100k.lab.commands import environment, run
from c100k.lab.errors import ImageBuildError
from c100k.lab.lock import exclusive
from c100k.lab.mounts import mounts_below, unmount

PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "iputils-ping",
    "nftables",
    "openssh-server",
    "procps",
    "prometheus-node-exporter",
    "python3",
    "python3-venv",
    "redis-server",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tar",
    "zstd",
)
ENABLED_UNITS = ("ssh.service", "systemd-networkd.service")
# Installed for the state role, which writes a configuration and a unit of its own.
DISABLED_UNITS = ("redis-server.service",)
# Nobody is at a machine's console and its disk is gone with it: these would only be noise in what is measured.
MASKED_UNITS = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty@.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
)
# Made anew for every machine, and what is of no use without a way out.
REMOVED_PATHS = (
    "etc/ssh/ssh_host_*",
    "var/cache/apt/archives/*.deb",
    "var/cache/apt/*.bin",
    "var/lib/apt/lists/*",
    "var/log/*.log",
    "var/log/apt/*",
)
# To be raised when the code below does something else with the same data.
RECIPE_VERSION = 1

BUILD_PREFIX = "building-"
PROGRESS_INTERVAL_S = 5
# debootstrap says `I: <verb> <package>...`; these are its long steps.
_STEPS = {
    "Retrieving": "fetching",
    "Validating": "fetching",
    "Extracting": "unpacking",
    "Unpacking": "unpacking",
    "Configuring": "configuring",
}


@dataclass(frozen=True)
class Recipe:
    """All that determines what is in an image."""

    mirror: str
    suite: str
    architecture: str
    packages: tuple[str, ...] = PACKAGES
    enabled_units: tuple[str, ...] = ENABLED_UNITS
    disabled_units: tuple[str, ...] = DISABLED_UNITS
    masked_units: tuple[str, ...] = MASKED_UNITS
    removed_paths: tuple[str, ...] = REMOVED_PATHS
    version: int = RECIPE_VERSION

    @property
    def name(self) -> str:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.suite}-{digest[:12]}"


def find_recipe() -> tuple[Recipe, Mirror]:
    """What an image would be built from on this machine. Raises MirrorUnknownError."""
    os_release = Path("/etc/os-release")
    mirror = find_mirror(host_codename(os_release.read_text() if os_release.exists() else ""))
    architecture = run("dpkg", "--print-architecture").strip()
    return Recipe(mirror.uri, mirror.suite, architecture), mirror


def ensure_image(cache_dir: Path, progress: Callable[[str], None]) -> Path:
    """The root folder of the image, which is built when the cache has none. Raises ImageBuildError."""
    recipe, mirror = find_recipe()
    image = cache_dir / recipe.name
    if image.is_dir():
        return image
    lock = cache_dir / "build.lock"

    def busy(who: str) -> None:
        progress(f"image {recipe.name} is being built by {who}: waiting for it")

    with exclusive(lock, busy, keep=lambda: True):
        if not image.is_dir():
            _build(image, recipe, mirror, progress)
    return image


def _build(image: Path, recipe: Recipe, mirror: Mirror, progress: Callable[[str], None]) -> None:
    # We hold the lock: a build folder that is here now was left by a build that was killed.
    for stale in image.parent.glob(f"{BUILD_PREFIX}*"):
        _remove_tree(stale)
    started = time.monotonic()
    progress(f"image {recipe.name}: building it from {mirror.uri}, about 90 s, needed once")
    building = image.parent / f"{BUILD_PREFIX}{recipe.name}"
    try:
        _debootstrap(building, recipe, mirror, progress)
        _finish(building, recipe)
        building.rename(image)
    finally:
        _remove_tree(building)
    progress(f"image {recipe.name}: built in {time.monotonic() - started:.0f} s, kept in {image}")


def _remove_tree(folder: Path) -> None:
    for target in mounts_below(folder):
        unmount(target)
    if folder.exists() and not mounts_below(folder):
        shutil.rmtree(folder)


def _debootstrap(target: Path, recipe: Recipe, mirror: Mirror, progress: Callable[[str], None]) -> None:
    # Its own mount and pid namespace, tied to our life: whatever kills us also ends all that it started, and what it
    # mounted is gone with them.
    confined = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL")
    argv = (
        *confined,
        "debootstrap",
        "--variant=minbase",
        f"--keyring={mirror.keyring}",
        f"--include={','.join(recipe.packages)}",
        recipe.suite,
        str(target),
        mirror.uri,
    )
    tail: list[str] = []
    with (
        subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment() | _apt_proxy(),
        ) as process,
        _killed_on_error(process),
    ):
        assert process.stdout is not None
        for line in _reported(process.stdout, progress):
            tail = [*tail[-4:], line]
        if process.wait() != 0:
            raise ImageBuildError("debootstrap", " / ".join(tail) or f"status {process.returncode}")


@contextmanager
def _killed_on_error(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        process.send_signal(signal.SIGKILL)
        if process.stdout is not None:
            process.stdout.read()  # ends when the last process that could write to the folder is gone
        raise


def _reported(lines: Iterable[str], progress: Callable[[str], None]) -> Iterator[str]:
    """Pass debootstrap's lines on, and tell how far it is at most every PROGRESS_INTERVAL_S."""
    counts: dict[str, int] = {}
    told = time.monotonic()
    for line in lines:
        words = line.split()
        step = _STEPS.get(words[1]) if len(words) > 2 else None
        if step is not None:
            counts[step] = counts.get(step, 0) + 1
            if time.monotonic() - told >= PROGRESS_INTERVAL_S:
                told = time.monotonic()
                progress(f"image: {step} packages, {counts[step]} so far")
        yield line.strip()


def _apt_proxy() -> dict[str, str]:
    """debootstrap fetches with wget, which does not read apt's configuration."""
    shell = run("apt-config", "shell", "proxy", "Acquire::http::Proxy")
    value = shell.strip().removeprefix("proxy=").strip("'\"")
    return {"http_proxy": value} if value and value != "DIRECT" else {}


def _finish(root: Path, recipe: Recipe) -> None:
    for verb, units in (
        ("enable", recipe.enabled_units),
        ("disable", recipe.disabled_units),
        ("mask", recipe.masked_units),
    ):
        run("systemctl", f"--root={root}", verb, *units)
    for pattern in recipe.removed_paths:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    # Empty means: systemd takes the one that the lab writes, see machine-id(5).
    (root / "etc/machine-id").write_text("")
    os.sync()

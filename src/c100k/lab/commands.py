"""Running the host's own commands."""

from __future__ import annotations

import os
import shutil
import subprocess

from c100k.lab.errors import CommandFailedError, MissingToolsError

# A root shell from `su` has no sbin in its PATH.
SEARCH_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"))

# Command -> Debian package. The Makefile installs the packages.
TOOLS = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nft": "nftables",
    "ip": "iproute2",
    "mount": "mount",
    "setsid": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
}


def environment() -> dict[str, str]:
    """The environment of every command: nothing of the caller's locale or settings reaches it."""
    return {"PATH": SEARCH_PATH, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "HOME": "/root"}


def require_tools(tools: dict[str, str] | None = None) -> None:
    """Raises MissingToolsError that names every missing tool at once."""
    wanted = TOOLS if tools is None else tools
    missing = [tool for tool in wanted if shutil.which(tool, path=SEARCH_PATH) is None]
    if missing:
        raise MissingToolsError(missing, sorted({wanted[tool] for tool in missing}))


def run(*argv: str, stdin: str = "", timeout_s: float = 60) -> str:
    """Run to the end and return what it printed. Raises CommandFailedError when its status is not 0."""
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment()
        )
    except subprocess.TimeoutExpired as expired:
        raise CommandFailedError(argv, -1, f"no end after {timeout_s:.0f} s") from expired
    except FileNotFoundError as missing:
        raise CommandFailedError(argv, 127, f"there is no command {argv[0]} here") from missing
    if done.returncode != 0:
        raise CommandFailedError(argv, done.returncode, done.stderr)
    return done.stdout
